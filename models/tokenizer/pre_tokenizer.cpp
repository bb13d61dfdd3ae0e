#include "models/tokenizer/pre_tokenizer.hpp"

#include <algorithm>

#include "models/tokenizer/byte_alphabet.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie::tok {

void PreTokenizer::next(std::size_t index, std::string_view text, bool at_start,
                        PieceSink& sink) const {
  if (text.empty()) return;
  if (index + 1 == steps_.size()) {
    sink.piece(text);
  } else {
    run_step(index + 1, text, at_start, sink);
  }
}

void PreTokenizer::run_step(std::size_t index, std::string_view text, bool at_start,
                            PieceSink& sink) const {
  if (index >= steps_.size()) {
    sink.piece(text);
    return;
  }
  switch (steps_[index].kind) {
    case Kind::byte_level:
      return run_byte_level(index, text, at_start, sink);
    case Kind::split:
      return run_split(index, text, at_start, sink);
    case Kind::metaspace:
      return run_metaspace(index, text, at_start, sink);
  }
}

void PreTokenizer::run_byte_level(std::size_t index, std::string_view text, bool at_start,
                                  PieceSink& sink) const {
  const Step& step = steps_[index];
  std::string prefixed;
  if (step.add_prefix_space && !text.starts_with(' ')) {
    text = prefixed.append(" ").append(text);
  }
  const auto give = [&](std::string_view piece, bool piece_at_start) {
    if (step.last) {
      next(index, piece, piece_at_start, sink);
      return;
    }
    // A later step sees the characters of the byte alphabet.
    std::string characters;
    append_as_alphabet(characters, piece);
    next(index, characters, piece_at_start, sink);
  };
  if (!step.cuts) {
    give(text, at_start);
    return;
  }
  for_each_span(step.pattern, text, [&](Span span, bool) {
    give(text.substr(span.begin, span.end - span.begin), at_start && span.begin == 0);
  });
}

void PreTokenizer::run_metaspace(std::size_t index, std::string_view text, bool at_start,
                                 PieceSink& sink) const {
  const Step& step = steps_[index];
  std::string replaced;
  const bool spaced = text.starts_with(' ') || text.starts_with(step.replacement);
  if (!spaced &&
      (step.prepend == Prepend::always || (step.prepend == Prepend::first && at_start))) {
    replaced = step.replacement;
  }
  for (const char c : text) {
    if (c == ' ') {
      replaced.append(step.replacement);
    } else {
      replaced.push_back(c);
    }
  }
  std::string_view rest = replaced;
  bool rest_at_start = at_start;
  while (step.cuts && !rest.empty()) {
    const std::size_t end = rest.find(step.replacement, 1);
    if (end == std::string_view::npos) break;
    next(index, rest.substr(0, end), rest_at_start, sink);
    rest.remove_prefix(end);
    rest_at_start = false;
  }
  next(index, rest, rest_at_start, sink);
}

void PreTokenizer::run_split(std::size_t index, std::string_view text, bool at_start,
                             PieceSink& sink) const {
  const Step& step = steps_[index];
  const auto give = [&](Span span) {
    next(index, text.substr(span.begin, span.end - span.begin), at_start && span.begin == 0, sink);
  };
  if (step.behavior == Behavior::isolated || step.behavior == Behavior::removed) {
    const bool keep_all = step.behavior == Behavior::isolated;
    for_each_span(step.pattern, text, [&](Span span, bool is_match) {
      if (keep_all || is_match == step.invert) give(span);
    });
    return;
  }
  std::vector<FlaggedSpan> spans;
  for_each_span(step.pattern, text, [&](Span span, bool is_match) {
    spans.push_back({span, is_match != step.invert});
  });
  for (const Span span : merged(spans, step.behavior)) give(span);
}

// tokenizers, NormalizedString::split: a match is glued to its neighbour unless the neighbour is a
// match as well; "contiguous" glues equals.
std::vector<Span> PreTokenizer::merged(const std::vector<FlaggedSpan>& spans, Behavior behavior) {
  std::vector<Span> out;
  bool previous_match = false;
  if (behavior == Behavior::merged_with_next) {
    for (auto it = spans.rbegin(); it != spans.rend(); ++it) {
      if (it->is_match && !previous_match && !out.empty()) {
        out.back().begin = it->span.begin;
      } else {
        out.push_back(it->span);
      }
      previous_match = it->is_match;
    }
    std::reverse(out.begin(), out.end());
    return out;
  }
  for (const FlaggedSpan& flagged : spans) {
    const bool glue = behavior == Behavior::contiguous ? flagged.is_match == previous_match
                                                       : flagged.is_match && !previous_match;
    if (glue && !out.empty()) {
      out.back().end = flagged.span.end;
    } else {
      out.push_back(flagged.span);
    }
    previous_match = flagged.is_match;
  }
  return out;
}

}  // namespace collie::tok
