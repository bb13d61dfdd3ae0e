// Goldens: written by Hugging Face's libraries, see tests/goldens/safetensors.
#define BOOST_TEST_MODULE safetensors_writer
#include <cstring>

#include "runtime/json.hpp"
#include "runtime/safetensors.hpp"
#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;
using collie::test::check_error;
using collie::test::message_of;
using collie::test::TemporaryDirectory;

namespace {

const std::string goldens = std::string(COLLIE_TESTS_DIR) + "/goldens/safetensors";

template <class T, class Convert>
std::string counted(std::int64_t count, const Convert& convert) {
  std::string out;
  for (std::int64_t i = 0; i < count; ++i) {
    const T value = convert(i - 3);
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return out;
}

// Element i is i - 3, as make_safetensors_goldens.py has it.
std::string counted(DType dtype, std::int64_t count) {
  const auto as = [&]<class T>(T) {
    return counted<T>(count, [](std::int64_t i) { return static_cast<T>(i); });
  };
  switch (dtype) {
    case DType::f64:
      return as(double());
    case DType::f32:
      return as(float());
    case DType::i64:
      return as(std::int64_t());
    case DType::i32:
      return as(std::int32_t());
    case DType::i16:
      return as(std::int16_t());
    case DType::i8:
      return as(std::int8_t());
    case DType::u8:
      return as(std::uint8_t());
    case DType::bf16:
      return counted<BFloat16>(count,
                               [](std::int64_t i) { return BFloat16(static_cast<float>(i)); });
    case DType::f16:
      return counted<std::uint16_t>(
          count, [](std::int64_t i) { return f32_to_f16(static_cast<float>(i)); });
    case DType::boolean:
      return counted<std::uint8_t>(
          count, [](std::int64_t i) { return static_cast<std::uint8_t>((i + 3) % 2); });
  }
  return {};
}

const std::vector<TensorSpec> mixed = {
    {"layers.0.weight", DType::f32, {2, 3}},
    {"flags", DType::boolean, {3}},
    {"bytes", DType::u8, {5}},
    {"signed_bytes", DType::i8, {7}},
    {"shorts", DType::i16, {3}},
    {"ints", DType::i32, {4}},
    {"longs", DType::i64, {2}},
    {"half", DType::f16, {3, 2}},
    {"brain", DType::bf16, {4, 2}},
    {"double", DType::f64, {3}},
    {"scalar", DType::f32, {}},
    {"empty", DType::f32, {0, 4}},
    {"five", DType::f32, {1, 2, 1, 2, 1}},
    {"quote\"d \xc3\xbc"
     "ber",
     DType::f32,
     {1}},
};

const std::vector<TensorSpec> sharded = {
    {"embed", DType::f32, {3, 4}}, {"norm", DType::bf16, {12}}, {"big", DType::f32, {24}},
    {"bias", DType::f32, {10}},    {"head", DType::f64, {5}},
};

std::string data_of(const TensorSpec& spec) {
  std::int64_t count = 1;
  for (const std::int64_t dim : spec.shape) count *= dim;
  return counted(spec.dtype, count);
}

// Writes all tensors in pieces of the given size, one piece of each in turn.
void write_in_pieces(const DirectoryWriter& directory, const std::vector<TensorSpec>& specs,
                     std::uint64_t shard_bytes_max, std::size_t piece_bytes) {
  SafetensorsWriterOptions options;
  options.shard_bytes_max = shard_bytes_max;
  auto writer = SafetensorsWriter::create(directory, specs, options);
  BOOST_REQUIRE(writer.ok());
  bool more = true;
  for (std::size_t begin = 0; more; begin += piece_bytes) {
    more = false;
    for (const TensorSpec& spec : specs) {
      const std::string data = data_of(spec);
      if (begin >= data.size()) continue;
      more = true;
      const auto piece = std::string_view(data).substr(begin, piece_bytes);
      const Status status = writer->append(spec.name, bytes_of(piece));
      BOOST_REQUIRE_EQUAL(message_of(status), "no error");
    }
  }
  BOOST_REQUIRE_EQUAL(message_of(writer->close()), "no error");
}

std::string golden(std::string_view name) {
  return *read_file(join_path(goldens, name), 1 << 20);
}

}  // namespace

BOOST_AUTO_TEST_CASE(reads_what_hugging_face_wrote) {
  const auto file = SafetensorsFile::open(goldens + "/mixed.safetensors");
  BOOST_REQUIRE_EQUAL(message_of(file), "no error");
  BOOST_TEST(file->entries().size() == mixed.size());
  BOOST_TEST(file->metadata().at("format") == "pt");
  for (const TensorSpec& spec : mixed) {
    const TensorEntry* entry = file->find(spec.name);
    BOOST_REQUIRE(entry != nullptr);
    BOOST_CHECK(entry->dtype == spec.dtype && entry->shape == spec.shape);
    const auto bytes = file->bytes(*entry);
    const std::string expected = data_of(spec);
    BOOST_CHECK_MESSAGE(bytes.size() == expected.size() &&
                            std::memcmp(bytes.data(), expected.data(), bytes.size()) == 0,
                        spec.name);
  }
  check_error(file->tensor("five"), ErrorCode::unsupported, "tensor 'five': 5 dimensions");
  BOOST_TEST(*file->tensor("scalar")->data<float>() == -3.0F);
  BOOST_TEST(file->tensor("empty")->element_count() == 0);
}

BOOST_AUTO_TEST_CASE(writes_what_hugging_face_writes_byte_for_byte) {
  for (const std::size_t piece_bytes : {1u, 7u, 1000u}) {
    const TemporaryDirectory directory;
    auto writer = DirectoryWriter::create(directory.file("m"));
    BOOST_REQUIRE(writer.ok());
    write_in_pieces(*writer, mixed, 0, piece_bytes);
    BOOST_REQUIRE(writer->commit().ok());
    BOOST_CHECK(directory.get("m/model.safetensors") == golden("mixed.safetensors"));
    BOOST_TEST(list_directory(directory.file("m"))->size() == 1u);
  }
}

BOOST_AUTO_TEST_CASE(shards_are_hugging_faces) {
  const TemporaryDirectory directory;
  auto writer = DirectoryWriter::create(directory.file("m"));
  BOOST_REQUIRE(writer.ok());
  write_in_pieces(*writer, sharded, 64, 10);
  BOOST_REQUIRE(writer->commit().ok());
  const auto names = *list_directory(goldens + "/sharded");
  const auto ours = *list_directory(directory.file("m"));
  BOOST_TEST(ours == names, boost::test_tools::per_element());
  for (const std::string& name : names) {
    if (name.ends_with(".json")) continue;
    BOOST_CHECK_MESSAGE(directory.get("m/" + name) == golden("sharded/" + name), name);
  }
  // transformers sorts the index's keys, huggingface_hub does not: only the content is compared.
  const auto index = nlohmann::json::parse(directory.get("m/model.safetensors.index.json"));
  BOOST_CHECK(index == nlohmann::json::parse(golden("sharded/model.safetensors.index.json")));
}

BOOST_AUTO_TEST_CASE(one_shard_needs_no_index) {
  const TemporaryDirectory directory;
  auto writer = DirectoryWriter::create(directory.file("m"));
  BOOST_REQUIRE(writer.ok());
  write_in_pieces(*writer, sharded, 1 << 20, 100);
  BOOST_REQUIRE(writer->commit().ok());
  BOOST_TEST(list_directory(directory.file("m"))->size() == 1u);
  const auto opened = TensorDirectory::open(directory.file("m"));
  BOOST_REQUIRE(opened.ok());
  BOOST_TEST(opened->total_bytes() == 248u);
}

BOOST_AUTO_TEST_CASE(tensors_are_appended_as_rows) {
  const TemporaryDirectory directory;
  auto directory_writer = DirectoryWriter::create(directory.file("m"));
  auto writer = SafetensorsWriter::create(*directory_writer, {{"embed", DType::f32, {3, 4}}});
  const auto source = SafetensorsFile::open(goldens + "/sharded/model-00001-of-00004.safetensors");
  const Tensor embed = *source->tensor("embed");
  BOOST_CHECK(writer->append("embed", embed.rows(0, 2)).ok());
  BOOST_CHECK(writer->append("embed", embed.rows(2, 3)).ok());
  BOOST_CHECK(writer->close().ok() && directory_writer->commit().ok());
  BOOST_CHECK(directory.get("m/model.safetensors") ==
              golden("sharded/model-00001-of-00004.safetensors"));
}

BOOST_AUTO_TEST_CASE(write_errors_name_the_file) {
  const TemporaryDirectory directory;
  auto directory_writer = DirectoryWriter::create(directory.file("m"));
  BOOST_REQUIRE(directory_writer->write_file("model.safetensors", "taken").ok());
  auto writer = SafetensorsWriter::create(*directory_writer, {{"a", DType::u8, {1}}});
  check_error(writer->append("a", bytes_of("x")), ErrorCode::io,
              "model.safetensors: cannot create: File exists");
  SafetensorsWriterOptions outside;
  outside.stem = "../model";
  check_error(SafetensorsWriter::create(*directory_writer, {}, outside), ErrorCode::invalid_file,
              "is not allowed");
}
