// Loading a model takes hardly more memory than the model it leaves behind.
#define BOOST_TEST_MODULE load_memory
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "models/hf_model.hpp"
#include "models/registry.hpp"
#include "models/stage.hpp"
#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;

namespace {

constexpr double allowed_ratio = 1.2;

ModelTraits traits_of_model() {  // 75 million parameters: 150 MB in bfloat16, 300 MB in float32
  const Json config{{"model_type", "llama"},    {"vocab_size", 16000},
                    {"hidden_size", 1024},      {"intermediate_size", 2816},
                    {"num_hidden_layers", 3},   {"num_attention_heads", 8},
                    {"num_key_value_heads", 8}, {"max_position_embeddings", 128},
                    {"rms_norm_eps", 1e-5},     {"tie_word_embeddings", false}};
  Result<ModelTraits> traits = parse_model_config(config, "test");
  BOOST_REQUIRE_MESSAGE(traits.ok(), test::message_of(traits));
  return std::move(traits).value();
}

std::vector<ParameterSpec> whole_model(const ModelTraits& traits) {
  StageSlice slice;
  slice.layer_end = traits.layer_count;
  return declare_parameters(traits, slice).value();
}

void write_model(const std::string& path, const ModelTraits& traits) {
  Allocator memory("model to write");
  Parameters parameters(memory, whole_model(traits), DType::f32, false);
  std::fill_n(parameters.values().mutable_data<float>(), parameters.values().element_count(), 0.5F);
  ModelAssembler assembler;
  assembler.add(parameters);
  Result<DirectoryWriter> directory = DirectoryWriter::create(path);
  BOOST_REQUIRE(directory.ok());
  SaveOptions options;
  options.dtype = DType::bf16;
  BOOST_REQUIRE(assembler.write(*directory, traits, options).ok());
  BOOST_REQUIRE(directory->commit().ok());
}

// A figure of /proc/self/status, in bytes.
double status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return 1024.0 * std::stod(line.substr(key.size() + 1));
  }
  return 0.0;
}

// Runs in the child, whose peak (VmHWM) begins anew when clear_refs is written. Exit code 0: good.
int load_and_measure(const std::string& path, const ModelTraits& traits) {
  std::ofstream("/proc/self/clear_refs") << "5";
  const double before = status_bytes("VmRSS");
  StreamOptions options;
  options.inline_execution = true;
  Stream stream(options);
  Result<TensorDirectory> files = TensorDirectory::open(path);
  if (!files.ok()) return 3;
  Parameters parameters(stream.allocator(), whole_model(traits), DType::f32, false);
  Status status = load_parameters(*files, traits, parameters, stream);
  if (!status.ok()) return 4;
  const float* values = std::as_const(parameters).values().data<float>();
  if (values[parameters.offset(parameters.count() - 1)] != 0.5F) return 5;
  const auto kept = static_cast<double>(parameters.values().size_bytes());
  const double peak = status_bytes("VmHWM") - before;
  fmt::print("keeps {:.1f} MB, peak while loading {:.1f} MB, ratio {:.3f}\n", kept / 1e6,
             peak / 1e6, peak / kept);
  std::fflush(stdout);
  if (peak < 0.9 * kept) return 6;  // nothing was measured
  return peak < allowed_ratio * kept ? 0 : 7;
}

// The parent wrote the model in a child too, so that no memory of it is inherited.
int in_child(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

BOOST_AUTO_TEST_CASE(loading_peaks_below_a_fifth_more_than_is_kept) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("model");
  const ModelTraits traits = traits_of_model();
  const auto write = [&] {
    write_model(path, traits);
    return 0;
  };
  BOOST_REQUIRE_EQUAL(in_child(write), 0);
  BOOST_CHECK_EQUAL(in_child([&] { return load_and_measure(path, traits); }), 0);
}
