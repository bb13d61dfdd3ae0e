#include "runtime/safetensors_header.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <tuple>
#include <unordered_set>

#include "runtime/json.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::size_t length_bytes = 8;
constexpr std::string_view metadata_key = "__metadata__";

// Types the format knows and this program does not.
constexpr std::array<std::string_view, 13> foreign_dtypes = {
    "U16", "U32",     "U64",     "C64",         "F8_E4M3",     "F8_E5M2", "F8_E8M0",
    "F4",  "F6_E2M3", "F6_E3M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F4_E2M1"};

// What one file is being checked with: its name and how large its data is.
struct HeaderReader {
  std::string_view path;
  std::size_t data_begin;
  std::size_t data_bytes;

  template <class... Args>
  Error error(fmt::format_string<Args...> format, Args&&... args) const {
    return make_error(ErrorCode::invalid_file, "{}: {}", path,
                      fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  Error tensor_error(std::string_view name, fmt::format_string<Args...> format,
                     Args&&... args) const {
    return make_error(ErrorCode::invalid_file, "{}: tensor {}: {}", path, quoted_name(name),
                      fmt::format(format, std::forward<Args>(args)...));
  }

  Status read_metadata(const simdjson::dom::element& value, SafetensorsMetadata& metadata) const;
  Result<DType> read_dtype(std::string_view name, const simdjson::dom::element& value) const;
  Result<std::vector<std::int64_t>> read_shape(std::string_view name,
                                               const simdjson::dom::element& value) const;
  Status read_offsets(const simdjson::dom::element& value, TensorEntry& entry) const;
  Result<TensorEntry> read_entry(std::string_view name, const simdjson::dom::element& value) const;
  Status check_size(const TensorEntry& entry) const;
  Status check_layout(std::vector<TensorEntry>& entries) const;
};

Status HeaderReader::read_metadata(const simdjson::dom::element& value,
                                   SafetensorsMetadata& metadata) const {
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) return error("__metadata__ is not an object");
  for (const auto [key, item] : object) {
    std::string_view text;
    if (item.get(text) != simdjson::SUCCESS) {
      return error("__metadata__ {} is not a string", quoted_name(key));
    }
    if (!metadata.emplace(key, text).second) {
      return error("__metadata__ {} appears twice", quoted_name(key));
    }
  }
  return ok_status();
}

Result<DType> HeaderReader::read_dtype(std::string_view name,
                                       const simdjson::dom::element& value) const {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) return tensor_error(name, "dtype is not a string");
  const std::optional<DType> dtype = dtype_from_string(text);
  if (dtype) return *dtype;
  const bool foreign =
      std::find(foreign_dtypes.begin(), foreign_dtypes.end(), text) != foreign_dtypes.end();
  Error unknown = tensor_error(name, "dtype {} is {}; convert the file to F32, BF16 or F16",
                               quoted_name(text), foreign ? "not supported" : "unknown");
  if (foreign) unknown.code = ErrorCode::unsupported;
  return unknown;
}

Result<std::vector<std::int64_t>> HeaderReader::read_shape(
    std::string_view name, const simdjson::dom::element& value) const {
  simdjson::dom::array array;
  if (value.get(array) != simdjson::SUCCESS) return tensor_error(name, "shape is not an array");
  std::vector<std::int64_t> shape;
  for (const simdjson::dom::element item : array) {
    std::int64_t dim = 0;
    if (item.get(dim) != simdjson::SUCCESS) {
      return tensor_error(name, "shape has a dimension that is not a 64-bit integer");
    }
    if (dim < 0) return tensor_error(name, "shape has the negative dimension {}", dim);
    if (shape.size() == limits::safetensors_rank_max) {
      return tensor_error(name, "shape has more than {} dimensions", limits::safetensors_rank_max);
    }
    shape.push_back(dim);
  }
  return shape;
}

Status HeaderReader::read_offsets(const simdjson::dom::element& value, TensorEntry& entry) const {
  simdjson::dom::array array;
  std::array<std::uint64_t, 2> offsets{};
  std::size_t count = 0;
  const bool is_array = value.get(array) == simdjson::SUCCESS;
  if (is_array) {
    for (const simdjson::dom::element item : array) {
      if (count == 2 || item.get(offsets[count]) != simdjson::SUCCESS) {
        count = 0;
        break;
      }
      ++count;
    }
  }
  if (count != 2) {
    return tensor_error(entry.name, "data_offsets is not two non-negative integers");
  }
  const auto [begin, end] = offsets;
  if (begin > end || end > data_bytes) {
    return tensor_error(entry.name,
                        "data_offsets [{}, {}] is not a range in the {} bytes of data; the file is "
                        "truncated or damaged",
                        begin, end, data_bytes);
  }
  entry.offset_bytes = data_begin + begin;
  entry.size_bytes = end - begin;
  return ok_status();
}

Result<TensorEntry> HeaderReader::read_entry(std::string_view name,
                                             const simdjson::dom::element& value) const {
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) return tensor_error(name, "is not an object");
  TensorEntry entry;
  entry.name = name;
  std::unordered_set<std::string_view> seen;
  for (const auto [key, item] : object) {
    if (!seen.insert(key).second) return tensor_error(name, "{} appears twice", quoted_name(key));
    if (key == "dtype") {
      COLLIE_TRY(entry.dtype, read_dtype(name, item));
    } else if (key == "shape") {
      COLLIE_TRY(entry.shape, read_shape(name, item));
    } else if (key == "data_offsets") {
      COLLIE_TRY_VOID(read_offsets(item, entry));
    } else {
      return tensor_error(name, "has the unknown key {}", quoted_name(key));
    }
  }
  for (const std::string_view key : {"dtype", "shape", "data_offsets"}) {
    if (!seen.contains(key)) return tensor_error(name, "{} is missing", key);
  }
  COLLIE_TRY_VOID(check_size(entry));
  return entry;
}

Status HeaderReader::check_size(const TensorEntry& entry) const {
  std::size_t bytes = size_of(entry.dtype);
  for (const std::int64_t dim : entry.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<std::size_t>(dim), &bytes) ||
        bytes > static_cast<std::size_t>(INT64_MAX)) {
      return tensor_error(entry.name, "shape has more bytes than 63 bits can count");
    }
  }
  if (bytes == entry.size_bytes) return ok_status();
  return tensor_error(entry.name, "shape and dtype make {} bytes, data_offsets {}", bytes,
                      entry.size_bytes);
}

Status HeaderReader::check_layout(std::vector<TensorEntry>& entries) const {
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.offset_bytes, a.size_bytes, a.name) <
           std::tie(b.offset_bytes, b.size_bytes, b.name);
  });
  std::size_t end = data_begin;
  for (const TensorEntry& entry : entries) {
    if (entry.offset_bytes > end) {
      return tensor_error(entry.name, "there is a gap of {} bytes before its data",
                          entry.offset_bytes - end);
    }
    if (entry.offset_bytes < end) {
      return tensor_error(entry.name, "its data overlaps another tensor's by {} bytes",
                          end - entry.offset_bytes);
    }
    end += entry.size_bytes;
  }
  if (end == data_begin + data_bytes) return ok_status();
  return error("{} bytes after the last tensor belong to no tensor", data_begin + data_bytes - end);
}

// What is wrong with a header that simdjson refused, in the words of the JSON reader.
Error broken_header(std::string_view text, std::string_view path) {
  const Result<Json> parsed =
      parse_json(text, fmt::format("{}: header", path), limits::safetensors_header_bytes_max);
  if (!parsed.ok()) return parsed.error();
  return make_error(ErrorCode::invalid_file, "{}: header: a number is too large", path);
}

Result<std::string_view> header_text(std::span<const std::byte> bytes, std::string_view path) {
  if (bytes.size() < length_bytes) {
    return make_error(ErrorCode::invalid_file,
                      "{}: {} bytes are too few for a safetensors file; the file is truncated",
                      path, bytes.size());
  }
  std::uint64_t header_bytes = 0;
  for (std::size_t i = length_bytes; i-- > 0;) {
    header_bytes = header_bytes << 8 | static_cast<std::uint64_t>(bytes[i]);
  }
  if (header_bytes > limits::safetensors_header_bytes_max) {
    return make_error(
        ErrorCode::invalid_file,
        "{}: header of {} bytes is over the limit of {}; this is not a safetensors file", path,
        header_bytes, limits::safetensors_header_bytes_max);
  }
  if (header_bytes > bytes.size() - length_bytes) {
    return make_error(ErrorCode::invalid_file,
                      "{}: header of {} bytes does not fit in a file of {}; the file is truncated",
                      path, header_bytes, bytes.size());
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + length_bytes,
                              header_bytes);
  if (!text.starts_with('{')) {
    return make_error(ErrorCode::invalid_file, "{}: header does not start with '{{'", path);
  }
  return text;
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> bytes,
                                                   std::string_view path) {
  COLLIE_TRY(const std::string_view text, header_text(bytes, path));
  const std::size_t data_begin = length_bytes + text.size();
  SafetensorsHeader header;
  header.data_bytes = bytes.size() - data_begin;
  const HeaderReader reader{path, data_begin, header.data_bytes};
  simdjson::dom::parser parser;
  simdjson::dom::object root;
  simdjson::error_code code = parser.allocate(text.size(), limits::json_depth_max);
  if (code == simdjson::SUCCESS) code = parser.parse(text.data(), text.size()).get(root);
  if (code != simdjson::SUCCESS) return broken_header(text, path);

  std::unordered_set<std::string_view> seen;
  for (const auto [key, value] : root) {
    if (!seen.insert(key).second) return reader.tensor_error(key, "appears twice in the header");
    if (key == metadata_key) {
      COLLIE_TRY_VOID(reader.read_metadata(value, header.metadata));
    } else {
      COLLIE_TRY(TensorEntry entry, reader.read_entry(key, value));
      header.entries.push_back(std::move(entry));
    }
  }
  COLLIE_TRY_VOID(reader.check_layout(header.entries));
  return header;
}

}  // namespace collie
