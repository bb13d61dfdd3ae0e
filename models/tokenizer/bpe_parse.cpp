#include <limits>

#include "models/tokenizer/bpe.hpp"
#include "models/tokenizer/byte_alphabet.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/limits.hpp"

namespace collie::tok {

Result<BpeModel> BpeModel::parse(const JsonNode& model, bool byte_level) {
  BpeModel result;
  COLLIE_TRY_VOID(result.parse_options(model));
  COLLIE_TRY_VOID(result.parse_vocabulary(model));
  const std::optional<JsonNode> unknown = model.find("unk_token");
  if (unknown) {
    COLLIE_TRY(const std::string_view token, unknown->string());
    result.unknown_id_ = result.vocabulary_.find(token);
    if (!result.unknown_id_ && !token.empty()) {
      return unknown->error(ErrorCode::invalid_file, "token {} is not in the vocabulary",
                            excerpt(token));
    }
  }
  COLLIE_TRY_VOID(result.parse_merges(model));
  result.prepare(byte_level);
  return result;
}

Status BpeModel::parse_options(const JsonNode& model) {
  COLLIE_TRY(const std::string_view type, model.string_or("type", "BPE"));
  if (type != "BPE") {
    return model.error(ErrorCode::unsupported, "unsupported model type {}", excerpt(type));
  }
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    COLLIE_TRY(const std::string_view affix, model.string_or(key, ""));
    if (!affix.empty()) {
      return model.error(ErrorCode::unsupported, "unsupported {} {}", key, excerpt(affix));
    }
  }
  if (const auto dropout = model.find("dropout")) {
    double probability = 0;
    if (dropout->element().get(probability) != simdjson::SUCCESS || probability != 0) {
      return dropout->error(ErrorCode::unsupported, "dropout is not supported, set it to null");
    }
  }
  COLLIE_TRY(fuse_unknown_, model.boolean_or("fuse_unk", false));
  COLLIE_TRY(byte_fallback_, model.boolean_or("byte_fallback", false));
  COLLIE_TRY(ignore_merges_, model.boolean_or("ignore_merges", false));
  return ok_status();
}

Status BpeModel::parse_vocabulary(const JsonNode& model) {
  COLLIE_TRY(const JsonNode node, model.at("vocab"));
  COLLIE_TRY(const simdjson::dom::object object, node.object());
  std::vector<Vocabulary::Entry> entries;
  for (const auto field : object) {
    std::int64_t id = 0;
    if (field.value.get(id) != simdjson::SUCCESS) {
      return node.error(ErrorCode::invalid_file, "token {}: expected an integer id",
                        excerpt(field.key));
    }
    if (id < 0 || id >= static_cast<std::int64_t>(limits::vocabulary_max)) {
      return node.error(ErrorCode::invalid_file, "token {} has id {}, outside 0 to {}",
                        excerpt(field.key), id, limits::vocabulary_max - 1);
    }
    entries.push_back({field.key, static_cast<std::int32_t>(id)});
  }
  if (entries.empty()) return node.error(ErrorCode::invalid_file, "the vocabulary is empty");
  COLLIE_TRY(vocabulary_, Vocabulary::build(entries, node.file() + ": vocab"));
  return ok_status();
}

// Merges are "left right" strings in older files and ["left", "right"] pairs in newer ones.
Status BpeModel::parse_merges(const JsonNode& model) {
  COLLIE_TRY(const JsonNode node, model.at("merges"));
  simdjson::dom::array merges;
  if (node.element().get(merges) != simdjson::SUCCESS) {
    return node.error(ErrorCode::invalid_file, "expected an array");
  }
  std::size_t count = 0;
  for ([[maybe_unused]] const auto merge : merges) ++count;
  if (count > limits::merges_max) {
    return node.error(ErrorCode::invalid_file, "more than {} merges", limits::merges_max);
  }
  merges_ = MergeTable(count);
  std::size_t rank = 0;
  for (const auto merge : merges) {
    std::string_view left;
    std::string_view right;
    simdjson::dom::array pair;
    if (merge.get(left) == simdjson::SUCCESS) {
      const std::size_t space = left.find(' ');
      if (space == std::string_view::npos || left.find(' ', space + 1) != std::string_view::npos) {
        return node.error(ErrorCode::invalid_file, "merge {} {} is not two tokens", rank,
                          excerpt(left));
      }
      right = left.substr(space + 1);
      left = left.substr(0, space);
    } else if (merge.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
               pair.at(0).get(left) != simdjson::SUCCESS ||
               pair.at(1).get(right) != simdjson::SUCCESS) {
      return node.error(ErrorCode::invalid_file, "merge {} is neither \"a b\" nor [\"a\", \"b\"]",
                        rank);
    }
    COLLIE_TRY_VOID(add_merge(node, rank, left, right));
    ++rank;
  }
  return ok_status();
}

Status BpeModel::add_merge(const JsonNode& merges, std::size_t rank, std::string_view left,
                           std::string_view right) {
  std::string result(left);
  result.append(right);
  std::int32_t ids[3] = {};
  const std::string_view tokens[3] = {left, right, result};
  for (int i = 0; i < 3; ++i) {
    const std::optional<std::int32_t> id = vocabulary_.find(tokens[i]);
    if (!id) {
      return merges.error(ErrorCode::invalid_file,
                          "merge {} ({} {}): token {} is not in the vocabulary", rank,
                          excerpt(left), excerpt(right), excerpt(tokens[i]));
    }
    ids[i] = *id;
  }
  merges_.insert(ids[0], ids[1], {static_cast<std::int32_t>(rank), ids[2]});
  return ok_status();
}

void BpeModel::prepare(bool byte_level) {
  byte_level_ = byte_level;
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string character;
    append_code_point(character, byte_to_character(static_cast<std::uint8_t>(byte)));
    byte_ids_[byte] = vocabulary_.find(character).value_or(-1);
    fallback_ids_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1);
  }
  constexpr std::string_view marker = "\xE2\x96\x81";
  cut_at_marker_ = !byte_level && vocabulary_.find(marker).has_value();
  for (std::int32_t id = 0; cut_at_marker_ && id < vocabulary_.id_end(); ++id) {
    std::string_view token = vocabulary_.token(id).value_or("");
    while (token.starts_with(marker)) token.remove_prefix(marker.size());
    if (token.find(marker) != std::string_view::npos) cut_at_marker_ = false;
  }
}

}  // namespace collie::tok
