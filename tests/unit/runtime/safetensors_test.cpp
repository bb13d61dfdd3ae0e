#define BOOST_TEST_MODULE safetensors
#include "runtime/safetensors.hpp"

#include <cstring>

#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;
using collie::test::check_error;
using collie::test::message_of;

namespace {

std::string with_length(std::uint64_t length, std::string_view rest) {
  std::string out(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(length >> (8 * i) & 0xff);
  return out.append(rest);
}

std::string file_of(std::string_view header, std::size_t data_bytes) {
  return with_length(header.size(), header) + std::string(data_bytes, 'd');
}

Result<SafetensorsFile> parse(std::string_view file) {
  return SafetensorsFile::from_bytes(bytes_of(file), "x.safetensors");
}

void check_refused(std::string_view header, std::size_t data_bytes, std::string_view message,
                   ErrorCode code = ErrorCode::invalid_file) {
  const std::string file = file_of(header, data_bytes);
  check_error(parse(file), code, message);
  BOOST_CHECK(message_of(parse(file)).starts_with("x.safetensors: "));
}

// The header of one F32 tensor "a" whose shape and offsets are given.
std::string one(std::string_view shape, std::string_view offsets) {
  return fmt::format(R"({{"a":{{"dtype":"F32","shape":{},"data_offsets":{}}}}})", shape, offsets);
}

// Two U8 tensors with the given offsets.
std::string two(int begin_a, int end_a, int begin_b, int end_b) {
  return fmt::format(R"({{"a":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}},)"
                     R"("b":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}}}})",
                     end_a - begin_a, begin_a, end_a, end_b - begin_b, begin_b, end_b);
}

}  // namespace

BOOST_AUTO_TEST_CASE(header_length_is_checked) {
  check_error(parse(""), ErrorCode::invalid_file, "0 bytes are too few");
  check_error(parse("1234567"), ErrorCode::invalid_file, "7 bytes are too few");
  check_error(parse(with_length(100'000'001, "{}")), ErrorCode::invalid_file,
              "header of 100000001 bytes is over the limit of 100000000");
  check_error(parse(with_length(~0ULL, "{}")), ErrorCode::invalid_file, "is over the limit");
  check_error(parse(with_length(3, "{}")), ErrorCode::invalid_file,
              "header of 3 bytes does not fit in a file of 10; the file is truncated");
  check_error(parse(with_length(0, "")), ErrorCode::invalid_file, "does not start with '{'");
  BOOST_CHECK(parse(file_of("{}", 0)).ok());
  BOOST_CHECK(parse(file_of("{}      ", 0)).ok());
}

BOOST_AUTO_TEST_CASE(header_is_one_json_object) {
  check_refused(" {}", 0, "does not start with '{'");
  check_refused("[]", 0, "does not start with '{'");
  check_refused("{", 0, "header: not valid JSON: wrong structure at line 1");
  check_refused("{} {}", 0, "not valid JSON");
  check_refused("{\"a\xff\":1}", 0, "header: not valid JSON: invalid UTF-8");
  check_refused(R"({"a":99999999999999999999})", 0, "header: a number is too large");
  check_refused(R"({"a":1})", 0, "tensor 'a': is not an object");
  const std::string deep = R"({"a":)" + std::string(100'000, '[');
  check_refused(deep + std::string(100'000, ']') + "}", 0, "nested too deeply");
}

BOOST_AUTO_TEST_CASE(duplicate_keys_are_refused) {
  const std::string a = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  check_refused("{" + a + "," + a + "}", 1, "tensor 'a': appears twice in the header");
  check_refused(R"({"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})", 0,
                "tensor 'a': 'dtype' appears twice");
  check_refused(R"({"__metadata__":{"k":"1","k":"2"}})", 0, "__metadata__ 'k' appears twice");
  check_refused(R"({"__metadata__":{},"__metadata__":{}})", 0, "appears twice in the header");
}

BOOST_AUTO_TEST_CASE(metadata_holds_only_strings) {
  check_refused(R"({"__metadata__":1})", 0, "__metadata__ is not an object");
  check_refused(R"({"__metadata__":{"k":1}})", 0, "__metadata__ 'k' is not a string");
  const std::string file = file_of(R"({"__metadata__":{"format":"pt"}})", 0);
  BOOST_TEST(parse(file)->metadata().at("format") == "pt");
}

BOOST_AUTO_TEST_CASE(tensor_keys_are_checked) {
  check_refused(R"({"a":{"shape":[0],"data_offsets":[0,0]}})", 0, "tensor 'a': dtype is missing");
  check_refused(R"({"a":{"dtype":"U8","data_offsets":[0,0]}})", 0, "shape is missing");
  check_refused(R"({"a":{"dtype":"U8","shape":[0]}})", 0, "data_offsets is missing");
  check_refused(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}})", 0,
                "tensor 'a': has the unknown key 'x'");
  check_refused(R"({"a\nb":{}})", 0, "tensor 'a\\x0ab': dtype is missing");
}

BOOST_AUTO_TEST_CASE(dtypes_are_known) {
  check_refused(R"({"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}})", 4,
                "tensor 'a': dtype 'f32' is unknown");
  check_refused(R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})", 4,
                "dtype is not a string");
  check_refused(R"({"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})", 4,
                "dtype 'F8_E4M3' is not supported", ErrorCode::unsupported);
}

BOOST_AUTO_TEST_CASE(shapes_are_checked) {
  check_refused(one("3", "[0,0]"), 0, "tensor 'a': shape is not an array");
  check_refused(one("[1.5]", "[0,4]"), 4, "shape has a dimension that is not a 64-bit integer");
  check_refused(one("[18446744073709551615]", "[0,4]"), 4, "is not a 64-bit integer");
  check_refused(one("[-1,-1]", "[0,4]"), 4, "shape has the negative dimension -1");
  check_refused(one("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "shape has more than 8 dimensions");
  check_refused(one("[4294967296,4294967296]", "[0,0]"), 0, "more bytes than 63 bits can count");
  check_refused(one("[2305843009213693952]", "[0,0]"), 0, "more bytes than 63 bits can count");
  check_refused(one("[4611686018427387904,4,0]", "[0,0]"), 0, "more bytes than 63 bits can count");
  check_refused(one("[2,2]", "[0,8]"), 8, "shape and dtype make 16 bytes, data_offsets 8");
  check_refused(one("[]", "[0,0]"), 0, "shape and dtype make 4 bytes, data_offsets 0");
}

BOOST_AUTO_TEST_CASE(offsets_are_inside_the_file) {
  const char* not_two = "data_offsets is not two non-negative integers";
  for (const char* bad : {"3", "[0]", "[0,4,4]", "[-4,0]", "[0.0,4.0]", "[\"0\",4]", "[]"}) {
    check_refused(one("[1]", bad), 4, not_two);
  }
  check_refused(one("[1]", "[4,0]"), 4,
                "data_offsets [4, 0] is not a range in the 4 bytes of data");
  check_refused(one("[2]", "[0,8]"), 4,
                "[0, 8] is not a range in the 4 bytes of data; the file is");
  check_refused(one("[1]", "[18446744073709551612,18446744073709551615]"), 4, "is not a range");
}

BOOST_AUTO_TEST_CASE(data_has_no_gap_overlap_or_rest) {
  BOOST_CHECK(parse(file_of(two(0, 2, 2, 5), 5)).ok());
  BOOST_CHECK(parse(file_of(two(3, 5, 0, 3), 5)).ok());
  check_refused(two(1, 2, 2, 5), 5, "tensor 'a': there is a gap of 1 bytes before its data");
  check_refused(two(0, 2, 3, 5), 5, "tensor 'b': there is a gap of 1 bytes before its data");
  check_refused(two(0, 3, 2, 5), 5, "tensor 'b': its data overlaps another tensor's by 1 bytes");
  check_refused(two(0, 5, 0, 5), 5, "tensor 'b': its data overlaps another tensor's by 5 bytes");
  check_refused(two(0, 2, 2, 5), 7, "2 bytes after the last tensor belong to no tensor");
  check_refused("{}", 1, "1 bytes after the last tensor belong to no tensor");
}

BOOST_AUTO_TEST_CASE(tensors_keep_the_file_alive) {
  const test::TemporaryDirectory directory;
  std::string header = one("[2,3]", "[0,24]");
  while (header.size() % 8 != 0) header.push_back(' ');
  std::string file = file_of(header, 0);
  const float values[6] = {0, 1, 2, 3, 4, 5};
  file.append(reinterpret_cast<const char*>(values), sizeof(values));
  Tensor tensor;
  {
    const auto opened = SafetensorsFile::open(directory.put("a.safetensors", file));
    BOOST_REQUIRE(opened.ok());
    tensor = *opened->tensor("a");
    BOOST_CHECK(tensor.raw() == opened->bytes(opened->entries()[0]).data());  // not copied
    opened->drop_pages(opened->entries()[0]);
    check_error(opened->tensor("b"), ErrorCode::not_found, "tensor 'b' is missing");
  }
  BOOST_CHECK(tensor.frozen());
  BOOST_CHECK(tensor.shape() == (Shape{2, 3}));
  BOOST_TEST(tensor.data<float>()[5] == 5.0F);
}

BOOST_AUTO_TEST_CASE(misaligned_tensors_are_copied) {
  for (int pad = 0; pad < 8; ++pad) {
    std::string file =
        file_of(one("[1]", "[0,4]") + std::string(static_cast<std::size_t>(pad), ' '), 0);
    const float value = 2.5F;
    file.append(reinterpret_cast<const char*>(&value), sizeof(value));
    const auto opened = parse(file);
    BOOST_REQUIRE(opened.ok());
    const Tensor tensor = *opened->tensor("a");
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(tensor.raw()) % 4 == 0u);
    BOOST_TEST(*tensor.data<float>() == 2.5F);
  }
}

BOOST_AUTO_TEST_CASE(errors_of_the_file_system_name_the_file) {
  check_error(SafetensorsFile::open("/no/such.safetensors"), ErrorCode::not_found,
              "/no/such.safetensors: cannot open");
  check_error(SafetensorsFile::open("/tmp"), ErrorCode::io, "/tmp: cannot read: Is a directory");
}
