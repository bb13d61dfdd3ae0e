// A vocabulary that was resized: transformers' logits of the new tokens on any grid, and the saved
// model is that model.
#define BOOST_TEST_MODULE resized_vocabulary
#include "models/resize_vocabulary.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tests/numerics/decoder_support.hpp"
#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

constexpr std::int64_t new_rows = 7;  // of make_resized_goldens.py

const std::vector<std::string> models = {"llama3", "gpt2"};  // gpt2 ties its head

ModelTraits resized_traits(const std::string& model) {
  ModelTraits traits = must(read_model_config(golden_directory(model)));
  must_succeed(resize_vocabulary(traits.vocabulary_size + new_rows, traits));
  return traits;
}

// Of the last token.
void check_logits(TestGrid& grid, const std::string& model) {
  const Golden golden("../resized", model + ".safetensors");
  const std::vector<std::int32_t> ids = golden.ids("input_ids");
  const std::vector<float> all = golden.floats("logits");
  const std::vector<float> logits = grid.generate(ids, static_cast<std::int64_t>(ids.size()));
  BOOST_TEST_REQUIRE(logits.size() * ids.size() == all.size());
  const float* wanted = all.data() + all.size() - logits.size();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    BOOST_TEST(std::abs(logits[i] - wanted[i]) < 2e-5F, i);
  }
}

}  // namespace

BOOST_DATA_TEST_CASE(new_tokens_have_the_logits_of_transformers,
                     data::make(models) * data::make({1, 2, 4}), model, tp) {
  GridOptions options;
  options.tp = tp;
  if (tp == 2) options.cuts = {1};
  TestGrid grid(resized_traits(model), options);
  grid.load(golden_directory(model));
  check_logits(grid, model);
}

BOOST_DATA_TEST_CASE(the_saved_model_is_the_resized_one, data::make(models), model) {
  const ModelTraits traits = resized_traits(model);
  GridOptions options;
  options.tp = 2;
  TestGrid grid(traits, options);
  grid.load(golden_directory(model));
  ModelAssembler assembler;
  grid.each([&](StageModel& stage) { assembler.add(stage.parameters()); });
  const test::TemporaryDirectory folder;
  DirectoryWriter writer = must(DirectoryWriter::create(folder.file("model")));
  must_succeed(assembler.write(writer, traits, {}));
  must_succeed(writer.commit());

  const ModelTraits saved = must(read_model_config(folder.file("model")));
  BOOST_TEST(saved.vocabulary_size == traits.vocabulary_size);
  BOOST_TEST(saved.rows_in_files == 0);
  TestGrid again(saved, {});
  again.load(folder.file("model"));
  check_logits(again, model);
}

BOOST_AUTO_TEST_CASE(rows_are_never_taken_away) {
  ModelTraits traits = must(read_model_config(golden_directory("llama3")));
  const Status fewer = resize_vocabulary(95, traits);
  BOOST_REQUIRE(!fewer.ok());
  BOOST_TEST(
      fewer.error().message.starts_with("model.resize_vocabulary: 95 is less than the model's 96"));
  must_succeed(resize_vocabulary(96, traits));
  BOOST_TEST(traits.rows_in_files == 0);
}
