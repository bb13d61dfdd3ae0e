#include "models/tokenizer/added_tokens.hpp"

#include <algorithm>

#include "models/tokenizer/utf8.hpp"
#include "runtime/limits.hpp"

namespace collie::tok {

void TokenMatcher::add(std::string content, const AddedToken* token) {
  if (!content.empty()) entries_.emplace_back(std::move(content), token);
}

void TokenMatcher::finish() {
  const auto smaller = [](const Entry& a, const Entry& b) {
    return a.first != b.first ? a.first < b.first : a.second->id < b.second->id;
  };
  std::sort(entries_.begin(), entries_.end(), smaller);
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    auto& range = by_first_byte_[static_cast<std::uint8_t>(entries_[i].first[0])];
    if (range.second == 0) range.first = i;
    range.second = i + 1;
  }
}

// Narrows the sorted entries byte by byte; one that ends here sorts before those that go on.
const TokenMatcher::Entry* TokenMatcher::match_at(std::string_view text,
                                                  std::size_t position) const {
  const auto range = by_first_byte_[static_cast<std::uint8_t>(text[position])];
  auto first = entries_.begin() + range.first;
  auto last = entries_.begin() + range.second;
  const Entry* longest = nullptr;
  for (std::size_t length = 1; first != last; ++length) {
    if (first->first.size() == length) longest = &*first;
    first =
        std::partition_point(first, last, [&](const Entry& e) { return e.first.size() == length; });
    if (position + length >= text.size()) break;
    const auto next = static_cast<std::uint8_t>(text[position + length]);
    const auto byte_of = [&](const Entry& e) { return static_cast<std::uint8_t>(e.first[length]); };
    first = std::partition_point(first, last, [&](const Entry& e) { return byte_of(e) < next; });
    last = std::partition_point(first, last, [&](const Entry& e) { return byte_of(e) == next; });
  }
  return longest;
}

namespace {

// Rust's regex \w: that of the patterns, and the joiners.
bool is_word(char32_t value) {
  static const Pattern word = Pattern::regex("\\w").value();
  if (value == 0x200C || value == 0x200D) return true;
  std::string text;
  append_code_point(text, value);
  return word.find(text, 0).has_value();
}

}  // namespace

bool TokenMatcher::touches_word(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin > 0 && is_word(code_point_before(text, begin).value)) ||
         (end < text.size() && is_word(code_point_at(text, end).value));
}

// tokenizers, AddedVocabulary::find_matches.
std::vector<TokenMatcher::Piece> TokenMatcher::split(std::string_view text) const {
  std::vector<Piece> pieces;
  std::size_t done = 0;
  std::size_t position = entries_.empty() ? text.size() : 0;
  while (position < text.size()) {
    const auto range = by_first_byte_[static_cast<std::uint8_t>(text[position])];
    const Entry* entry = range.second == 0 ? nullptr : match_at(text, position);
    if (entry == nullptr) {
      ++position;
      continue;
    }
    const AddedToken& token = *entry->second;
    std::size_t begin = position;
    std::size_t end = position + entry->first.size();
    position = end;
    if (token.single_word && touches_word(text, begin, end)) continue;
    while (token.lstrip && begin > done) {
      const CodePoint point = code_point_before(text, begin);
      if (!is_white_space(point.value)) break;
      begin -= point.bytes;
    }
    while (token.rstrip && end < text.size()) {
      const CodePoint point = code_point_at(text, end);
      if (!is_white_space(point.value)) break;
      end += point.bytes;
    }
    if (done < begin) pieces.push_back({done, begin, nullptr});
    pieces.push_back({begin, end, &token});
    done = end;
  }
  if (done < text.size()) pieces.push_back({done, text.size(), nullptr});
  return pieces;
}

Result<AddedTokens> AddedTokens::parse(const JsonNode& root, const Vocabulary& vocabulary,
                                       const Normalizer& normalizer) {
  AddedTokens result;
  const std::optional<JsonNode> node = root.find("added_tokens");
  if (!node) return result;
  COLLIE_TRY(const std::vector<JsonNode> nodes, node->array());
  if (nodes.size() > limits::added_tokens_max) {
    return node->error(ErrorCode::invalid_file, "more than {} added tokens",
                       limits::added_tokens_max);
  }
  for (const JsonNode& child : nodes) {
    COLLIE_TRY(AddedToken token, parse_token(child));
    COLLIE_TRY_VOID(result.add(child, std::move(token), vocabulary));
  }
  for (const auto& [id, token] : result.by_id_) {
    if (token.normalized) {
      std::string buffer;
      const std::string_view content = normalizer.apply(token.content, buffer);
      result.in_normalized_text_.add(std::string(content), &token);
    } else {
      result.in_text_.add(token.content, &token);
    }
  }
  result.in_text_.finish();
  result.in_normalized_text_.finish();
  return result;
}

Result<AddedToken> AddedTokens::parse_token(const JsonNode& node) {
  AddedToken token;
  COLLIE_TRY(const JsonNode id, node.at("id"));
  COLLIE_TRY(const std::int64_t value,
             id.integer(0, static_cast<std::int64_t>(limits::vocabulary_max) - 1));
  token.id = static_cast<std::int32_t>(value);
  COLLIE_TRY(token.content, node.string_at("content"));
  if (token.content.size() > limits::token_bytes_max) {
    return node.error(ErrorCode::invalid_file, "content longer than {} bytes",
                      limits::token_bytes_max);
  }
  COLLIE_TRY(token.single_word, node.boolean_or("single_word", false));
  COLLIE_TRY(token.lstrip, node.boolean_or("lstrip", false));
  COLLIE_TRY(token.rstrip, node.boolean_or("rstrip", false));
  COLLIE_TRY(token.special, node.boolean_or("special", false));
  COLLIE_TRY(token.normalized, node.boolean_or("normalized", !token.special));
  return token;
}

Status AddedTokens::add(const JsonNode& node, AddedToken token, const Vocabulary& vocabulary) {
  const auto known = vocabulary.find(token.content);
  if (known && *known != token.id) {
    return node.error(ErrorCode::invalid_file, "token {} has id {} here but {} in the vocabulary",
                      excerpt(token.content), token.id, *known);
  }
  if (!known && vocabulary.token(token.id)) {
    return node.error(ErrorCode::invalid_file, "token {} has id {}, which is the vocabulary's {}",
                      excerpt(token.content), token.id, excerpt(*vocabulary.token(token.id)));
  }
  if (by_id_.contains(token.id) || by_content_.contains(token.content)) {
    return node.error(ErrorCode::invalid_file, "token {} or its id {} occurs twice",
                      excerpt(token.content), token.id);
  }
  id_end_ = std::max(id_end_, token.id + 1);
  by_content_.emplace(token.content, token.id);
  by_id_.emplace(token.id, std::move(token));
  return ok_status();
}

const AddedToken* AddedTokens::find(std::int32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &it->second;
}

std::optional<std::int32_t> AddedTokens::find(std::string_view content) const {
  const auto it = by_content_.find(std::string(content));
  return it == by_content_.end() ? std::nullopt : std::optional(it->second);
}

}  // namespace collie::tok
