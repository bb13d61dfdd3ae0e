#include "models/tokenizer/post_processor.hpp"

#include "runtime/limits.hpp"

namespace collie::tok {

Result<PostProcessor> PostProcessor::parse(const JsonNode& node, std::int32_t id_end) {
  PostProcessor result;
  COLLIE_TRY_VOID(result.add(node, id_end, 0));
  return result;
}

Status PostProcessor::add(const JsonNode& node, std::int32_t id_end, int depth) {
  COLLIE_TRY(const std::string_view type, node.string_at("type"));
  if (type == "ByteLevel") return ok_status();
  if (type == "TemplateProcessing") return add_template(node, id_end);
  if (type != "Sequence" || depth >= limits::json_depth_max) {
    return node.error(ErrorCode::unsupported, "unsupported post-processor type {}", excerpt(type));
  }
  COLLIE_TRY(const JsonNode children, node.at("processors"));
  COLLIE_TRY(const std::vector<JsonNode> nodes, children.array());
  for (const JsonNode& child : nodes) COLLIE_TRY_VOID(add(child, id_end, depth + 1));
  return ok_status();
}

Status PostProcessor::add_template(const JsonNode& node, std::int32_t id_end) {
  COLLIE_TRY(const JsonNode single, node.at("single"));
  COLLIE_TRY(const std::vector<JsonNode> items, single.array());
  std::vector<std::int32_t> before;
  std::vector<std::int32_t> after;
  bool text_seen = false;
  for (const JsonNode& item : items) {
    if (const auto sequence = item.find("Sequence")) {
      COLLIE_TRY(const std::string_view name, sequence->string_at("id"));
      if (text_seen || name != "A") {
        return item.error(ErrorCode::unsupported, "expected the sequence 'A' exactly once");
      }
      text_seen = true;
      continue;
    }
    COLLIE_TRY(const JsonNode special, item.at("SpecialToken"));
    COLLIE_TRY(const std::string_view name, special.string_at("id"));
    COLLIE_TRY(const std::vector<std::int32_t> ids, special_ids(node, name, id_end));
    auto& side = text_seen ? after : before;
    if (side.size() + ids.size() > limits::added_tokens_max) {
      return item.error(ErrorCode::invalid_file, "more than {} ids", limits::added_tokens_max);
    }
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (!text_seen) return single.error(ErrorCode::unsupported, "the sequence 'A' is missing");
  // An outer template wraps what the inner one made.
  before.insert(before.end(), prefix_.begin(), prefix_.end());
  prefix_ = std::move(before);
  suffix_.insert(suffix_.end(), after.begin(), after.end());
  return ok_status();
}

Result<std::vector<std::int32_t>> PostProcessor::special_ids(const JsonNode& node,
                                                             std::string_view name,
                                                             std::int32_t id_end) {
  COLLIE_TRY(const JsonNode tokens, node.at("special_tokens"));
  COLLIE_TRY(const JsonNode token, tokens.at(name));
  COLLIE_TRY(const JsonNode list, token.at("ids"));
  COLLIE_TRY(const std::vector<JsonNode> nodes, list.array());
  std::vector<std::int32_t> ids;
  for (const JsonNode& child : nodes) {
    COLLIE_TRY(const std::int64_t id, child.integer(0, id_end - 1));
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

}  // namespace collie::tok
