// A literal or a regular expression that cuts text, as the "pattern" objects of tokenizer.json say.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "models/tokenizer/ascii_shortcut.hpp"
#include "runtime/result.hpp"

namespace collie::tok {

struct Span {
  std::size_t begin;
  std::size_t end;
};

// Rewrites the Oniguruma dialect of tokenizer.json for PCRE2: \s, \w, \d and \p{..} become explicit
// classes of the Unicode edition the ids were made with. What has no equivalent is refused.
Result<std::string> translate_pattern(std::string_view pattern);

// Immutable after construction; find() may run in several threads at once.
class Pattern {
 public:
  static Pattern literal(std::string text);
  static Result<Pattern> regex(std::string_view pattern);

  // The leftmost match that begins at or after `from`. text must be valid UTF-8. A search that
  // exceeds the matching limits finds nothing.
  std::optional<Span> find(std::string_view text, std::size_t from) const;

 private:
  struct Compiled;
  std::string literal_;
  AsciiShortcut shortcut_ = AsciiShortcut::none;
  std::shared_ptr<const Compiled> compiled_;
};

// Calls on_span(Span, is_match) for the matches and for what lies between them, left to right. An
// empty match directly after a match is skipped; other empty matches cut the text.
template <class OnSpan>
void for_each_span(const Pattern& pattern, std::string_view text, OnSpan&& on_span) {
  std::size_t previous_end = 0;
  std::size_t search_from = 0;
  bool matched_before = false;
  while (search_from <= text.size()) {
    const std::optional<Span> match = pattern.find(text, search_from);
    if (!match) break;
    if (match->begin == match->end && matched_before && match->end == previous_end) {
      ++search_from;
      while (search_from < text.size() && (text[search_from] & 0xC0) == 0x80) ++search_from;
      continue;
    }
    if (previous_end != match->begin) on_span(Span{previous_end, match->begin}, false);
    on_span(*match, true);
    previous_end = search_from = match->end;
    matched_before = true;
  }
  if (previous_end != text.size()) on_span(Span{previous_end, text.size()}, false);
}

}  // namespace collie::tok
