#include "models/tokenizer/unicode_forms.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "models/tokenizer/utf8.hpp"
#include "runtime/check.hpp"

namespace collie::tok {
namespace {

void append_normalized(UnicodeForm form, std::string_view text, std::string& out) {
  int flags = UTF8PROC_STABLE;
  flags |=
      form == UnicodeForm::nfc || form == UnicodeForm::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == UnicodeForm::nfkc || form == UnicodeForm::nfkd) flags |= UTF8PROC_COMPAT;
  const auto options = static_cast<utf8proc_option_t>(flags);
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto length = static_cast<utf8proc_ssize_t>(text.size());

  const utf8proc_ssize_t bound = utf8proc_decompose(bytes, length, nullptr, 0, options);
  COLLIE_CHECK(bound >= 0, "normalizing text that is not UTF-8");
  // utf8proc_reencode turns the code points into bytes in place and adds a zero.
  std::vector<utf8proc_int32_t> points(static_cast<std::size_t>(bound) + 1);
  const utf8proc_ssize_t count = utf8proc_decompose(bytes, length, points.data(), bound, options);
  const utf8proc_ssize_t size = utf8proc_reencode(points.data(), count, options);
  COLLIE_CHECK(size >= 0, "normalizing text that is not UTF-8");
  out.append(reinterpret_cast<const char*>(points.data()), static_cast<std::size_t>(size));
}

struct Range {
  char32_t first;
  char32_t last;
};

// The tokenizers library normalizes by Unicode 9: what later editions decompose or reorder stays as
// and where it is. U+11A7 is here because utf8proc 2.8 drops it after a Hangul syllable.
constexpr Range barriers[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x11A7, 0x11A7},
    {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},
    {0xA7F2, 0xA7F4},   {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x107BA},
    {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E},
    {0x11839, 0x1183A}, {0x11930, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943},
    {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99},
    {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42},
    {0x16FF0, 0x16FF1}, {0x1E030, 0x1E06D}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136},
    {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C},
    {0x1FBF0, 0x1FBF9}};

// A code point that nothing changes and that joins neither neighbour.
bool is_barrier(char32_t value) {
  if (value < barriers[0].first) return false;
  const auto range = std::lower_bound(std::begin(barriers), std::end(barriers), value,
                                      [](const Range& r, char32_t v) { return r.last < v; });
  return range != std::end(barriers) && range->first <= value;
}

// True for a code point that no form changes and that does not join the one before it: no combining
// class, no decomposition, not the second half of a composition. Hangul is left to utf8proc.
bool is_inert(char32_t value) {
  if (value < 0x80) return true;
  if ((value >= 0x1100 && value < 0x1200) || (value >= 0xAC00 && value < 0xD7B0)) return false;
  const utf8proc_property_t* property = utf8proc_get_property(static_cast<int>(value));
  return property->combining_class == 0 && property->decomp_seqindex == UINT16_MAX &&
         (property->comb_index == UINT16_MAX || property->comb_index < 0x8000);
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

}  // namespace

// Only runs around code points that may change go through utf8proc. A run begins with the inert
// code point before it, which a combining mark may join, and ends before the next inert one or
// barrier.
bool to_unicode_form(UnicodeForm form, std::string_view text, std::string& out) {
  // Everything below U+0300 (lead bytes below 0xCC) is composed and does not combine.
  const auto below_marks = [](char c) { return static_cast<unsigned char>(c) < 0xCC; };
  if (form == UnicodeForm::nfc ? std::all_of(text.begin(), text.end(), below_marks)
                               : is_ascii(text)) {
    return false;
  }
  out.reserve(out.size() + text.size());
  std::size_t copied = 0;
  std::size_t previous_inert = 0;
  for (std::size_t position = 0; position < text.size();) {
    const CodePoint point = code_point_at(text, position);
    const bool barrier = is_barrier(point.value);
    if (barrier || is_inert(point.value)) {
      previous_inert = barrier ? position + point.bytes : position;
      position += point.bytes;
      continue;
    }
    std::size_t end = position + point.bytes;
    while (end < text.size()) {
      const CodePoint next = code_point_at(text, end);
      if (is_barrier(next.value) || is_inert(next.value)) break;
      end += next.bytes;
    }
    const std::size_t begin = std::max(copied, previous_inert);
    out.append(text.substr(copied, begin - copied));
    append_normalized(form, text.substr(begin, end - begin), out);
    copied = position = end;
  }
  out.append(text.substr(copied));
  return true;
}

}  // namespace collie::tok
