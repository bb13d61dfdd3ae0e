#define BOOST_TEST_MODULE hf_model
#include <unistd.h>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "runtime/json.hpp"
#include "tests/numerics/decoder_support.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

class TemporaryDirectory {
 public:
  TemporaryDirectory()
      : path_((std::filesystem::temp_directory_path() / fmt::format("hf_model_test_{}", getpid()))
                  .string()) {
    must_succeed(remove_tree(path_));
    must_succeed(make_directories(path_));
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  std::string operator/(std::string_view name) const { return join_path(path_, name); }

 private:
  std::string path_;
};

// Reads a directory into 2 x 2 shards and writes it again.
void copy_model(const std::string& from, const std::string& to, const SaveOptions& options) {
  const ModelTraits traits = must(read_model_config(from));
  GridOptions grid_options;
  grid_options.tp = 2;
  grid_options.cuts = {1};
  grid_options.stage.with_gradients = false;
  TestGrid grid(traits, grid_options);
  grid.load(from);
  ModelAssembler assembler;
  grid.each([&](StageModel& model) { assembler.add(model.parameters()); });
  DirectoryWriter writer = must(DirectoryWriter::create(to));
  must_succeed(assembler.write(writer, traits, options));
  must_succeed(copy_companion_files(from, writer));
  must_succeed(writer.commit());
}

void require_same_tensors(const std::string& a, const std::string& b) {
  const TensorDirectory left = must(TensorDirectory::open(a));
  const TensorDirectory right = must(TensorDirectory::open(b));
  BOOST_TEST(left.names() == right.names(), boost::test_tools::per_element());
  for (const std::string& name : left.names()) {
    const LocatedTensor* x = left.find(name);
    const LocatedTensor* y = right.find(name);
    BOOST_TEST(x->entry->shape == y->entry->shape, boost::test_tools::per_element());
    BOOST_TEST((x->entry->dtype == y->entry->dtype));
    const auto bytes = x->file->bytes(*x->entry);
    BOOST_TEST(std::memcmp(bytes.data(), y->file->bytes(*y->entry).data(), bytes.size()) == 0,
               name);
  }
}

// A copy of a golden directory's tensors, changed by `change`.
template <class Change>
Status check_changed(const std::string& family, const std::string& to, Change change) {
  const TensorDirectory from = must(TensorDirectory::open(golden_directory(family)));
  std::map<std::string, Tensor> tensors;
  for (const std::string& name : from.names()) tensors[name] = must(from.tensor(name));
  change(tensors);
  DirectoryWriter directory = must(DirectoryWriter::create(to));
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors) {
    const auto dims = tensor.shape().dims();
    specs.push_back({name, tensor.dtype(), {dims.begin(), dims.end()}});
  }
  SafetensorsWriter writer = must(SafetensorsWriter::create(directory, specs));
  for (const auto& [name, tensor] : tensors) must_succeed(writer.append(name, tensor));
  must_succeed(writer.close());
  must_succeed(directory.commit());
  const ModelTraits traits = must(read_model_config(golden_directory(family)));
  return check_tensors(must(TensorDirectory::open(to)), traits);
}

}  // namespace

BOOST_DATA_TEST_CASE(read_and_written_is_the_same,
                     data::make({"llama2", "llama3", "llama3_tied", "mistral", "qwen2", "qwen3",
                                 "gpt2"}),
                     family) {
  const TemporaryDirectory temporary;
  const std::string from = golden_directory(family);
  copy_model(from, temporary / "model", {});
  require_same_tensors(from, temporary / "model");
  const Json before = must(read_json(join_path(from, "config.json")));
  const Json after = must(read_json(temporary / "model" + "/config.json"));
  for (const auto& [key, value] : before.items()) BOOST_TEST(after[key] == value, key);
  BOOST_TEST(exists(temporary / "model" + "/generation_config.json"));
}

BOOST_AUTO_TEST_CASE(half_precision_keeps_its_bits) {
  const TemporaryDirectory temporary;
  copy_model(golden_directory("llama2_bf16"), temporary / "bf16", {.dtype = DType::bf16});
  require_same_tensors(golden_directory("llama2_bf16"), temporary / "bf16");
  copy_model(golden_directory("llama2_f16"), temporary / "f16", {.dtype = DType::f16});
  require_same_tensors(golden_directory("llama2_f16"), temporary / "f16");
  // And float32 rounds to what PyTorch rounds to.
  copy_model(golden_directory("llama2"), temporary / "rounded", {.dtype = DType::bf16});
  require_same_tensors(golden_directory("llama2_bf16"), temporary / "rounded");
  const Json config = must(read_json(temporary / "rounded" + "/config.json"));
  BOOST_TEST(config["dtype"] == "bfloat16");
}

BOOST_AUTO_TEST_CASE(what_float16_cannot_hold_is_refused) {
  const ModelTraits traits = must(read_model_config(golden_directory("llama2")));
  TestGrid grid(traits, {});
  grid.load(golden_directory("llama2"));
  Parameters& parameters = grid.stages()[0][0]->parameters();
  Tensor down = parameters.value(parameters.find("layers.1.mlp.down"));
  float& value = down.mutable_data<float>()[down.element_count() - 1];
  ModelAssembler assembler;
  assembler.add(parameters);
  const TemporaryDirectory temporary;
  const auto save = [&](DType dtype) {
    const DirectoryWriter writer = must(DirectoryWriter::create(temporary / "model"));
    const Status status = assembler.write(writer, traits, {.dtype = dtype});
    BOOST_TEST(exists(join_path(writer.temporary_path(), "config.json")) == status.ok());
    return status;
  };
  value = -65519.0F;  // rounds to -65504
  BOOST_TEST(save(DType::f16).ok());
  value = -65520.0F;
  const Status status = save(DType::f16);
  BOOST_REQUIRE(!status.ok());
  BOOST_TEST(status.error().message ==
             "model.layers.1.mlp.down_proj.weight: float16 holds at most 65504, not -65520: set "
             "output.save_dtype to bfloat16 or float32");
  BOOST_TEST(save(DType::bf16).ok());
  BOOST_TEST(!exists(temporary / "model"));
}

BOOST_AUTO_TEST_CASE(large_models_are_written_in_shards) {
  const TemporaryDirectory temporary;
  copy_model(golden_directory("qwen3"), temporary / "model", {.max_shard_bytes = 40000});
  BOOST_TEST(exists(temporary / "model" + "/model.safetensors.index.json"));
  require_same_tensors(golden_directory("qwen3"), temporary / "model");
}

BOOST_AUTO_TEST_CASE(wrong_tensors_are_listed) {
  const TemporaryDirectory temporary;
  const Status status = check_changed("llama2", temporary / "model", [](auto& tensors) {
    for (int layer = 0; layer < 3; ++layer) {
      tensors.erase(fmt::format("model.layers.{}.mlp.up_proj.weight", layer));
    }
    tensors.erase("model.norm.weight");
    tensors["model.embed_tokens.weight"] = tensors["model.layers.0.mlp.gate_proj.weight"];
    tensors["model.surprise"] = tensors["model.layers.0.input_layernorm.weight"];
  });
  BOOST_REQUIRE(!status.ok());
  const std::string& message = status.error().message;
  BOOST_TEST_MESSAGE(message);
  for (const std::string_view part :
       {"4 tensors missing: ", "model.layers.0.mlp.up_proj.weight", "...",
        "1 of another shape or type: model.embed_tokens.weight is [64, 32] instead of [96, 32]",
        "1 unknown: 'model.surprise'"}) {
    BOOST_TEST(message.find(part) != std::string::npos, message << " lacks " << part);
  }
}

BOOST_AUTO_TEST_CASE(prefix_and_harmless_extras) {
  const TemporaryDirectory temporary;
  const Status status = check_changed("gpt2", temporary / "model", [](auto& tensors) {
    std::map<std::string, Tensor> bare;
    for (const auto& [name, tensor] : tensors)
      bare[name.substr(std::string("transformer.").size())] = tensor;
    bare["h.0.attn.bias"] = bare["wpe.weight"];
    bare["h.0.attn.masked_bias"] = bare["ln_f.bias"];
    bare["lm_head.weight"] = bare["wte.weight"];
    tensors = bare;
  });
  BOOST_TEST(status.ok());
  // And they are read into the right places.
  const ModelTraits traits = must(read_model_config(golden_directory("gpt2")));
  TestGrid grid(traits, {});
  grid.load(temporary / "model");
  const Golden golden("gpt2", "golden.safetensors");
  const MicroBatch batch = golden_batch(grid.stream(), golden);
  const double loss = grid.run(batch, Mode::evaluate) / static_cast<double>(batch.valid_tokens);
  BOOST_TEST(std::abs(loss - golden.loss()) <= 1e-6 * golden.loss());
}

BOOST_AUTO_TEST_CASE(a_missing_shard_is_found) {
  const ModelTraits traits = must(read_model_config(golden_directory("llama2")));
  Stream stream(inline_stream());
  const StageSlice half{0, 3, true, true, 0, 2};
  const Parameters parameters(stream.allocator(), must(declare_parameters(traits, half)),
                              DType::f32, false);
  ModelAssembler assembler;
  assembler.add(parameters);
  std::vector<float> whole(96 * 32);
  const Status status = assembler.copy_global("embedding", whole);
  BOOST_REQUIRE(!status.ok());
  BOOST_TEST(status.error().message.find("1536 of 3072") != std::string::npos);
  const TemporaryDirectory temporary;
  const DirectoryWriter writer = must(DirectoryWriter::create(temporary / "model"));
  BOOST_TEST(!assembler.write(writer, traits, {}).ok());
}
