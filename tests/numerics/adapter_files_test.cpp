// PEFT's adapters written back by any grid: the same tensors, the same configuration; and merged
// into their model, the same loss.
#define BOOST_TEST_MODULE adapter_files
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <set>

#include "models/peft/adapter_files.hpp"
#include "models/peft/merge.hpp"
#include "tests/numerics/decoder_support.hpp"
#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

// Every adapter there is, with the model it says it belongs to.
struct Case {
  std::string folder, model;
};
std::ostream& operator<<(std::ostream& out, const Case& of) {
  return out << of.folder;
}
std::vector<Case> find_cases() {
  std::vector<Case> cases;
  const std::string root = golden_directory("../peft");
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    const std::string config = entry.path() / "adapter_config.json";
    if (!exists(config)) continue;
    const std::string base = must(read_json(config)).value("base_model_name_or_path", "");
    cases.push_back({entry.path().filename(), base.substr(base.rfind('/') + 1)});
  }
  std::ranges::sort(cases, {}, &Case::folder);
  return cases;
}
const std::vector<Case> cases = find_cases();

struct Layout {
  int tp;
  std::vector<std::int64_t> cuts;
};
std::ostream& operator<<(std::ostream& out, const Layout& of) {
  return out << "tp " << of.tp << " stages " << of.cuts.size() + 1;
}
const std::vector<Layout> layouts = {{1, {}}, {2, {1}}};

struct Loaded {
  Loaded(const Case& of, const Layout& layout)
      : directory(golden_directory("../peft/" + of.folder)),
        base(golden_directory(of.model)),
        traits(must(read_model_config(base))),
        tuning(std::make_shared<const Tuning>(must(read_adapter_config(directory, traits)))),
        grid(traits, options(layout, tuning)) {
    grid.load(base);
    grid.each([&](StageModel& model) {
      must_succeed(load_adapter(directory, *tuning, traits, model.parameters(), grid.stream()));
    });
  }
  static GridOptions options(const Layout& layout, std::shared_ptr<const Tuning> tuning) {
    GridOptions made;
    made.tp = layout.tp;
    made.cuts = layout.cuts;
    made.stage.tuning = std::move(tuning);
    return made;
  }
  std::vector<Parameters*> shards() {
    std::vector<Parameters*> all;
    grid.each([&](StageModel& model) { all.push_back(&model.parameters()); });
    return all;
  }
  std::string directory, base;
  ModelTraits traits;
  std::shared_ptr<const Tuning> tuning;
  TestGrid grid;
};

// Lists of names are sets.
Json in_order(const Json& value) {
  if (!value.is_array()) return value;
  std::set<std::string> names;
  for (const Json& name : value) names.insert(name.dump());
  return Json(names);
}

// What we write PEFT has written too, alike; the rest of its keys have their defaults.
void check_config(const std::string& ours, const std::string& theirs) {
  const Json written = must(read_json(ours)), expected = must(read_json(theirs));
  for (const auto& [key, value] : written.items()) {
    BOOST_TEST_CONTEXT(key) {
      BOOST_TEST_REQUIRE(expected.contains(key));
      BOOST_TEST(in_order(value).dump() == in_order(expected.at(key)).dump());
    }
  }
}

void check_tensors(const std::string& ours, const std::string& theirs) {
  const TensorDirectory written = must(TensorDirectory::open(ours, "adapter_model"));
  const TensorDirectory expected = must(TensorDirectory::open(theirs, "adapter_model"));
  BOOST_TEST(written.names() == expected.names(), boost::test_tools::per_element());
  for (const std::string& name : expected.names()) {
    const LocatedTensor* one = written.find(name);
    const LocatedTensor* other = expected.find(name);
    BOOST_TEST_REQUIRE(one != nullptr);
    BOOST_TEST(std::ranges::equal(one->file->bytes(*one->entry), other->file->bytes(*other->entry)),
               name);
  }
}

}  // namespace

BOOST_DATA_TEST_CASE(what_peft_wrote_is_written_back, data::make(cases) * data::make(layouts), of,
                     layout) {
  Loaded loaded(of, layout);
  const test::TemporaryDirectory folder;
  DirectoryWriter writer = must(DirectoryWriter::create(folder.file("adapter")));
  must_succeed(write_adapter(writer, *loaded.tuning, loaded.traits, loaded.shards(),
                             "../" + of.model, DType::f32, loaded.grid.stream()));
  must_succeed(writer.commit());
  check_tensors(folder.file("adapter"), loaded.directory);
  // What p-tuning's net made is read as a table.
  if (of.folder.starts_with("p_tuning")) return;
  check_config(folder.file("adapter/adapter_config.json"),
               loaded.directory + "/adapter_config.json");
  const Tuning again = must(read_adapter_config(folder.file("adapter"), loaded.traits));
  BOOST_TEST(adapter_config_json(again, loaded.traits, "").dump() ==
             adapter_config_json(*loaded.tuning, loaded.traits, "").dump());
}

BOOST_DATA_TEST_CASE(merged_models_have_the_loss_of_the_adapter,
                     data::make(cases) * data::make(layouts), of, layout) {
  Loaded loaded(of, layout);
  if (!check_mergeable(*loaded.tuning, loaded.traits, layout.tp)) return;
  ModelAssembler assembler;
  loaded.grid.each([&](StageModel& model) {
    merge_adapter(*loaded.tuning, model.parameters(), loaded.grid.stream());
    assembler.add(model.parameters());
  });
  const test::TemporaryDirectory folder;
  DirectoryWriter writer = must(DirectoryWriter::create(folder.file("model")));
  must_succeed(assembler.write(writer, loaded.traits, {}));
  must_succeed(writer.commit());

  TestGrid merged(loaded.traits, {});
  merged.load(folder.file("model"));
  const Golden golden("../peft/" + of.folder, "golden.safetensors");
  const Golden batch(of.model, "golden.safetensors");
  double sum = 0.0, valid = 0.0;
  for (const std::int64_t row : {0, 1}) {
    const MicroBatch part = golden_batch(merged.stream(), batch, row, row + 1);
    sum += merged.run(part, Mode::evaluate);
    valid += static_cast<double>(part.valid_tokens);
  }
  BOOST_TEST(std::abs(sum / valid / golden.loss() - 1.0) < 1e-6);
}

// PEFT knows no patterns, so these become names; a configuration from here is read as it was meant.
BOOST_AUTO_TEST_CASE(patterns_become_names) {
  const ModelTraits traits = must(read_model_config(golden_directory("llama3")));
  Tuning tuning;
  tuning.method = TuningMethod::lora;
  const auto targets = [&](std::vector<std::string> given) {
    tuning.targets = std::move(given);
    return adapter_config_json(tuning, traits, "").at("target_modules").dump();
  };
  BOOST_TEST(targets({}) == R"(["q_proj","v_proj"])");
  BOOST_TEST(targets({"all-linear"}) == R"("all-linear")");
  BOOST_TEST(targets({"mlp.*"}) == R"(["gate_proj","up_proj","down_proj"])");
  BOOST_TEST(targets({"layers.0.*.q_proj"}) == R"(["model.layers.0.self_attn.q_proj"])");
  tuning.modules_to_save = {"layers.1.*norm"};
  BOOST_TEST(adapter_config_json(tuning, traits, "").at("modules_to_save").dump() ==
             R"(["model.layers.1.input_layernorm","model.layers.1.post_attention_layernorm"])");
}

// PEFT's "save_embedding_layers" puts copies of the base's own beside the adapter.
BOOST_AUTO_TEST_CASE(copies_of_the_base_are_passed_over_and_others_refused) {
  Loaded loaded({"lora_llama2_ends", "llama2"}, layouts[0]);
  Parameters& parameters = *loaded.shards().front();
  const auto load_with = [&](const std::string& extra, const Tensor& values) {
    ModelAssembler assembler;
    for (int index = 0; index < parameters.count(); ++index) {
      ParameterSpec spec = parameters.specs()[static_cast<std::size_t>(index)];
      if (spec.trainable) assembler.add(spec, parameters.value(index));
      if (spec.name != "embedding") continue;
      spec.hf.tensor = extra;
      assembler.add(spec, values);
    }
    const test::TemporaryDirectory folder;
    DirectoryWriter writer = must(DirectoryWriter::create(folder.file("adapter")));
    SaveOptions options;
    options.stem = "adapter_model";
    must_succeed(assembler.write_weights(writer, options));
    must_succeed(writer.commit());
    const Status status = load_adapter(folder.file("adapter"), *loaded.tuning, loaded.traits,
                                       parameters, loaded.grid.stream());
    return status ? std::string("none") : status.error().message;
  };
  const Tensor embedding = parameters.value(parameters.find("embedding"));
  const Tensor head = parameters.value(parameters.find("head"));
  const std::string copy = "base_model.model.model.embed_tokens.base_layer.weight";
  BOOST_TEST(load_with(copy, embedding) == "none");
  BOOST_TEST(load_with(copy, head).find(copy + " is not the base model's") != std::string::npos);
  BOOST_TEST(load_with("base_model.model.model.norm.weight", embedding).find("belongs to no") !=
             std::string::npos);
}
