#define BOOST_TEST_MODULE adapter_base
#include "models/peft/adapter_base.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "runtime/dtype.hpp"
#include "runtime/json.hpp"
#include "runtime/safetensors.hpp"
#include "tests/unit/runtime/temporary_directory.hpp"

namespace collie {
namespace {

using test::check_error;
using test::TemporaryDirectory;

// A file of two matrices of layers, an embedding and a norm, as a model's directory has them.
struct Model {
  DType dtype = DType::f32;
  std::string prefix = "model.";
  std::int64_t vocabulary = 10;
  double shift = 0.0;       // of all values of the second layer's matrix
  double norm_shift = 0.0;  // of the norm
  double embedding_shift = 0.0;
};

std::string value_bytes(DType dtype, double value) {
  const auto bits = static_cast<float>(value);
  if (dtype == DType::f32) return {reinterpret_cast<const char*>(&bits), sizeof(bits)};
  const std::uint16_t half = dtype == DType::bf16 ? BFloat16(bits).bits : f32_to_f16(bits);
  return {reinterpret_cast<const char*>(&half), sizeof(half)};
}

void write_model(const TemporaryDirectory& folder, const std::string& name, const Model& model) {
  const std::vector<TensorSpec> specs = {
      {model.prefix + "embed_tokens.weight", model.dtype, {model.vocabulary, 4}},
      {model.prefix + "layers.0.mlp.up_proj.weight", model.dtype, {30, 20}},
      {model.prefix + "layers.0.norm.weight", model.dtype, {4}},
      {model.prefix + "layers.1.mlp.up_proj.weight", model.dtype, {30, 20}}};
  DirectoryWriter directory = DirectoryWriter::create(folder.file(name)).value();
  SafetensorsWriter writer = SafetensorsWriter::create(directory, specs).value();
  for (const TensorSpec& spec : specs) {
    double shift = spec.name.find("layers.1") != spec.name.npos ? model.shift : 0.0;
    if (spec.shape.size() == 1) shift = model.norm_shift;
    if (spec.name.find("embed") != spec.name.npos) shift = model.embedding_shift;
    const std::int64_t count = spec.shape[0] * (spec.shape.size() == 2 ? spec.shape[1] : 1);
    std::string bytes;
    // A sixteenth's multiples: every type holds them.
    for (std::int64_t i = 0; i < count; ++i) {
      bytes += value_bytes(spec.dtype, static_cast<double>(i % 64) / 16.0 + shift);
    }
    BOOST_REQUIRE(writer.append(spec.name, std::as_bytes(std::span<const char>(bytes))).ok());
  }
  BOOST_REQUIRE(writer.close().ok());
  BOOST_REQUIRE(directory.write_file("config.json", "{}").ok());
  BOOST_REQUIRE(directory.commit().ok());
}

struct Folder {
  std::uint64_t hash_of(const Model& model) {
    const std::string name = fmt::format("m{}", count++);
    write_model(folder, name, model);
    return base_fingerprint(folder.file(name)).value();
  }
  TemporaryDirectory folder;
  int count = 0;
};

BOOST_FIXTURE_TEST_CASE(a_copy_of_the_layers_is_the_same_model, Folder) {
  const std::uint64_t hash = hash_of({});
  BOOST_TEST(hash_of({.dtype = DType::bf16}) == hash);
  BOOST_TEST(hash_of({.dtype = DType::f16}) == hash);
  BOOST_TEST(hash_of({.prefix = ""}) == hash);
  BOOST_TEST(hash_of({.vocabulary = 12}) == hash);
  BOOST_TEST(hash_of({.shift = 1.0}) != hash);
  BOOST_TEST(hash_of({.embedding_shift = 1.0}) != hash);
}

void write_adapter_config(const std::string& directory, const Json& base) {
  BOOST_REQUIRE(make_directories(directory).ok());
  const Json config = {{"peft_type", "LORA"}, {"base_model_name_or_path", base}};
  BOOST_REQUIRE(
      write_file_atomic(join_path(directory, "adapter_config.json"), dump_json(config)).ok());
}

BOOST_FIXTURE_TEST_CASE(an_adapter_knows_its_model, Folder) {
  write_model(folder, "own", {});
  write_model(folder, "copy", {.dtype = DType::bf16});
  write_model(folder, "other", {.shift = 0.5});
  DirectoryWriter adapter = DirectoryWriter::create(folder.file("adapter")).value();
  BOOST_REQUIRE(write_adapter_base(adapter, folder.file("own")).ok());
  BOOST_REQUIRE(adapter.commit().ok());
  const std::string directory = folder.file("adapter");
  BOOST_TEST(check_adapter_base(directory, folder.file("own")).value().empty());
  BOOST_TEST(check_adapter_base(directory, folder.file("copy")).value().empty());
  check_error(check_adapter_base(directory, folder.file("other")), ErrorCode::invalid_config,
              "other has other weights; use that model, or remove");
  BOOST_REQUIRE(write_file_atomic(folder.file("adapter/collie_base.json"), "[]").ok());
  check_error(check_adapter_base(directory, folder.file("own")), ErrorCode::invalid_file,
              "collie_base.json");
}

BOOST_FIXTURE_TEST_CASE(of_another_program_s_adapter_there_is_only_a_name, Folder) {
  write_model(folder, "own", {});
  write_model(folder, "copy", {.dtype = DType::bf16});
  write_model(folder, "other", {.shift = 0.5});
  write_model(folder, "models--Qwen--Qwen3-0.6B", {});
  const std::string adapter = folder.file("adapter");
  const auto doubt = [&](const Json& base, const std::string& model) {
    write_adapter_config(adapter, base);
    return check_adapter_base(adapter, folder.file(model)).value();
  };
  BOOST_TEST(doubt(nullptr, "own").empty());
  BOOST_TEST(doubt(7, "own").empty());
  BOOST_TEST(doubt(folder.file("own"), "copy").empty());
  BOOST_TEST(doubt("Qwen/Qwen3-0.6B", "models--Qwen--Qwen3-0.6B").empty());
  BOOST_TEST(doubt("Qwen/Qwen3-4B", "own").find("'Qwen/Qwen3-4B', not ") != std::string::npos);
  BOOST_TEST(doubt(folder.file("own"), "other").find("whose weights are not those of") !=
             std::string::npos);
}

}  // namespace
}  // namespace collie
