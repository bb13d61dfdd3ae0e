#include "models/tokenizer/json_node.hpp"

namespace collie::tok {

std::optional<JsonNode> JsonNode::find(std::string_view key) const {
  simdjson::dom::element child;
  if (element_[key].get(child) != simdjson::SUCCESS || child.is_null()) return std::nullopt;
  return JsonNode(child, file_, path_ + "." + std::string(key));
}

Result<JsonNode> JsonNode::at(std::string_view key) const {
  if (!element_.is_object()) return wrong_type("an object");
  std::optional<JsonNode> child = find(key);
  if (!child) return error(ErrorCode::invalid_file, "key '{}' is missing", key);
  return std::move(*child);
}

Result<std::string_view> JsonNode::string() const {
  std::string_view value;
  if (element_.get(value) != simdjson::SUCCESS) return wrong_type("a string");
  return value;
}

Result<std::int64_t> JsonNode::integer(std::int64_t low, std::int64_t high) const {
  std::int64_t value = 0;
  if (element_.get(value) != simdjson::SUCCESS) return wrong_type("an integer");
  if (value < low || value > high) {
    return error(ErrorCode::invalid_file, "{} is outside {} to {}", value, low, high);
  }
  return value;
}

Result<simdjson::dom::object> JsonNode::object() const {
  simdjson::dom::object value;
  if (element_.get(value) != simdjson::SUCCESS) return wrong_type("an object");
  return value;
}

Result<std::vector<JsonNode>> JsonNode::array() const {
  simdjson::dom::array values;
  if (element_.get(values) != simdjson::SUCCESS) return wrong_type("an array");
  std::vector<JsonNode> nodes;
  for (const auto value : values) {
    nodes.emplace_back(value, file_, fmt::format("{}[{}]", path_, nodes.size()));
  }
  return nodes;
}

Result<std::string_view> JsonNode::string_at(std::string_view key) const {
  COLLIE_TRY(const JsonNode child, at(key));
  return child.string();
}

Result<std::string_view> JsonNode::string_or(std::string_view key,
                                             std::string_view otherwise) const {
  const std::optional<JsonNode> child = find(key);
  return child ? child->string() : Result<std::string_view>(otherwise);
}

Result<bool> JsonNode::boolean_or(std::string_view key, bool otherwise) const {
  const std::optional<JsonNode> child = find(key);
  if (!child) return otherwise;
  bool value = false;
  if (child->element_.get(value) != simdjson::SUCCESS) return child->wrong_type("true or false");
  return value;
}

Error JsonNode::wrong_type(std::string_view wanted) const {
  return error(ErrorCode::invalid_file, "expected {}", wanted);
}

std::string excerpt(std::string_view text) {
  constexpr std::size_t bytes_max = 80;
  std::string out = "'";
  for (const char c : text.substr(0, bytes_max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out.push_back(c);
    }
  }
  return out + (text.size() > bytes_max ? "...'" : "'");
}

}  // namespace collie::tok
