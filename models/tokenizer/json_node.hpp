// One value of a JSON file that knows where it is, so that every error names the file and the key.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/result.hpp"

namespace collie::tok {

class JsonNode {
 public:
  JsonNode(simdjson::dom::element element, std::string file, std::string path)
      : element_(element), file_(std::move(file)), path_(std::move(path)) {}

  const simdjson::dom::element& element() const { return element_; }
  const std::string& file() const { return file_; }

  bool is_string() const { return element_.is_string(); }
  bool is_object() const { return element_.is_object(); }

  // A key that is absent or null.
  std::optional<JsonNode> find(std::string_view key) const;
  // A key that must be there.
  Result<JsonNode> at(std::string_view key) const;

  Result<std::string_view> string() const;
  Result<std::int64_t> integer(std::int64_t low, std::int64_t high) const;
  Result<simdjson::dom::object> object() const;
  Result<std::vector<JsonNode>> array() const;

  Result<std::string_view> string_at(std::string_view key) const;
  Result<std::string_view> string_or(std::string_view key, std::string_view otherwise) const;
  Result<bool> boolean_or(std::string_view key, bool otherwise) const;

  template <class... Args>
  Error error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) const {
    return Error{code, fmt::format("{}: {}: {}", file_, path_,
                                   fmt::format(format, std::forward<Args>(args)...))};
  }

 private:
  Error wrong_type(std::string_view wanted) const;

  simdjson::dom::element element_;
  std::string file_;
  std::string path_;
};

// Foreign text inside an error message: one line, printable, at most 80 bytes.
std::string excerpt(std::string_view text);

}  // namespace collie::tok
