// Upper and lower case, and Python's is...() questions.
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <utility>

#include "models/tokenizer/chat_template/text.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie::chat {
namespace {

// Capitals of more than one letter (Unicode's SpecialCasing.txt, those outside Greek and Armenian);
// the second form is the title case.
struct LongCapital {
  char32_t letter;
  std::string_view upper;
  std::string_view title;
};
constexpr std::array<LongCapital, 13> long_capitals = {{{0xDF, "SS", "Ss"},
                                                        {0x149, "\u02BCN", "\u02BCN"},
                                                        {0x1F0, "J\u030C", "J\u030C"},
                                                        {0x1E96, "H\u0331", "H\u0331"},
                                                        {0x1E97, "T\u0308", "T\u0308"},
                                                        {0x1E98, "W\u030A", "W\u030A"},
                                                        {0x1E99, "Y\u030A", "Y\u030A"},
                                                        {0xFB00, "FF", "Ff"},
                                                        {0xFB01, "FI", "Fi"},
                                                        {0xFB02, "FL", "Fl"},
                                                        {0xFB03, "FFI", "Ffi"},
                                                        {0xFB04, "FFL", "Ffl"},
                                                        {0xFB06, "ST", "St"}}};

utf8proc_category_t category_of(char32_t value) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(value));
}

bool is_cased_letter(char32_t value) {
  const auto category = category_of(value);
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT;
}

void append_capital(std::string& out, char32_t value, bool as_title) {
  const auto found = std::find_if(long_capitals.begin(), long_capitals.end(),
                                  [&](const LongCapital& known) { return known.letter == value; });
  if (found != long_capitals.end()) {
    out.append(as_title ? found->title : found->upper);
    return;
  }
  const auto code = static_cast<utf8proc_int32_t>(value);
  tok::append_code_point(
      out, static_cast<char32_t>(as_title ? utf8proc_totitle(code) : utf8proc_toupper(code)));
}

// A capital sigma that ends a word becomes a final sigma (SpecialCasing.txt, Final_Sigma).
bool is_final_sigma(std::string_view text, std::size_t place) {
  std::size_t before = place;
  bool after_letter = false;
  if (before > 0) after_letter = is_cased_letter(tok::code_point_before(text, before).value);
  const std::size_t next = place + 2;
  return after_letter &&
         (next >= text.size() || !is_cased_letter(tok::code_point_at(text, next).value));
}

void append_small(std::string& out, std::string_view text, std::size_t place, char32_t value) {
  if (value == 0x3A3) {
    tok::append_code_point(out, is_final_sigma(text, place) ? 0x3C2 : 0x3C3);
  } else if (value == 0x130) {
    out.append("i\u0307");
  } else {
    tok::append_code_point(
        out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(value))));
  }
}

enum class Form { upper, lower, capitalized, title };

std::string in_form(std::string_view text, Form form) {
  std::string out;
  bool first = true;
  bool in_word = false;
  for (std::size_t place = 0; place < text.size();) {
    const auto [value, bytes] = tok::code_point_at(text, place);
    const bool capital = form == Form::upper || (form == Form::capitalized && first) ||
                         (form == Form::title && !in_word);
    if (capital) {
      append_capital(out, value, form != Form::upper);
    } else {
      append_small(out, text, place, value);
    }
    first = false;
    in_word = is_cased_letter(value);
    place += bytes;
  }
  return out;
}

}  // namespace

std::string upper(std::string_view text) {
  return in_form(text, Form::upper);
}
std::string lower(std::string_view text) {
  return in_form(text, Form::lower);
}
std::string capitalize(std::string_view text) {
  return in_form(text, Form::capitalized);
}
std::string title(std::string_view text) {
  return in_form(text, Form::title);
}

bool all_code_points(std::string_view text, bool (*wanted)(char32_t)) {
  for (std::size_t place = 0; place < text.size();) {
    const auto [value, bytes] = tok::code_point_at(text, place);
    if (!wanted(value)) return false;
    place += bytes;
  }
  return !text.empty();
}

bool is_letter(char32_t value) {
  const auto category = category_of(value);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_digit(char32_t value) {
  return category_of(value) == UTF8PROC_CATEGORY_ND;
}

bool is_cased(std::string_view text, bool upper) {
  bool any = false;
  for (std::size_t place = 0; place < text.size();) {
    const auto [value, bytes] = tok::code_point_at(text, place);
    place += bytes;
    if (!is_cased_letter(value)) continue;
    const bool is_upper = category_of(value) == UTF8PROC_CATEGORY_LU;
    const bool is_lower = category_of(value) == UTF8PROC_CATEGORY_LL;
    if (upper ? !is_upper : !is_lower) return false;
    any = true;
  }
  return any;
}

bool is_printable(char32_t value) {
  if (value == ' ') return true;
  switch (category_of(value)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

}  // namespace collie::chat
