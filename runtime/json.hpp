// JSON documents. simdjson reads them, so what is held is valid, bounded and free of duplicate
// keys; nlohmann's ordered_json holds and writes them, so keys keep their order.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/json_fwd.hpp"
#include "runtime/limits.hpp"
#include "runtime/result.hpp"

namespace collie {

// name stands for the document in messages. invalid_file for: more than max_bytes, deeper than
// limits::json_depth_max, invalid UTF-8, a duplicate key, anything that is not one JSON document.
// An integer beyond 64 bits becomes a double (Hugging Face writes 10^30 for "no limit").
Result<Json> parse_json(std::string_view text, std::string_view name,
                        std::size_t max_bytes = limits::json_bytes_max);
Result<Json> read_json(const std::string& path, std::size_t max_bytes = limits::json_bytes_max);

// indent 0: one line. Text that is not UTF-8 is written with replacement characters.
std::string dump_json(const Json& json, int indent = 2);

// What a value looks like in a message: one line, printable, at most 60 bytes.
std::string describe_json(const Json& json);

// Typed access to one object whose every error names the file and the key's full path:
//   config.json: rope_scaling.factor: expected a number >= 1, got "x"
// A key that is null counts as absent. Keys asked for are the known ones of refuse_unknown_keys().
// The object must outlive the reader.
class JsonReader {
 public:
  // Fails where json is not an object. code is that of all errors this reader gives.
  static Result<JsonReader> open(const Json& json, std::string file, std::string path = {},
                                 ErrorCode code = ErrorCode::invalid_file);

  const Json& json() const { return *json_; }
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const Json* find(std::string_view key) const;  // nullptr where absent or null

  // Bounds are inclusive. A number without a fraction (2.0) is an integer, too.
  Result<std::int64_t> get_int(std::string_view key, std::int64_t min, std::int64_t max) const;
  Result<std::int64_t> optional_int(std::string_view key, std::int64_t otherwise, std::int64_t min,
                                    std::int64_t max) const;
  Result<double> get_number(std::string_view key, double min, double max) const;
  Result<double> optional_number(std::string_view key, double otherwise, double min,
                                 double max) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<bool> optional_bool(std::string_view key, bool otherwise) const;
  Result<std::string> get_string(std::string_view key) const;
  Result<std::string> optional_string(std::string_view key, std::string_view otherwise) const;
  Result<const Json*> get_array(std::string_view key) const;
  Result<std::vector<std::int64_t>> get_ints(std::string_view key, std::int64_t min,
                                             std::int64_t max) const;
  Result<std::vector<std::string>> get_strings(std::string_view key) const;
  Result<JsonReader> get_object(std::string_view key) const;

  // Fails at the first key nobody asked for and names the nearest known one.
  Status refuse_unknown_keys() const;

  // "file: path.key: message", for checks of the caller's own.
  Error error(std::string_view key, std::string_view message) const;

 private:
  JsonReader(const Json& json, std::string file, std::string path, ErrorCode code)
      : json_(&json), file_(std::move(file)), path_(std::move(path)), code_(code) {}
  Result<const Json*> require(std::string_view key, std::string_view wanted) const;
  Error mismatch(std::string_view key, std::string_view wanted, const Json& got) const;
  std::string path_of(std::string_view key) const;

  const Json* json_;
  std::string file_;
  std::string path_;
  ErrorCode code_;
  mutable std::vector<std::string> known_;
};

}  // namespace collie
