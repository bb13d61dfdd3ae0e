#include "models/metrics/bleu_tokenizers.hpp"

#include <vector>

#include "models/metrics/text.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie::metrics {

namespace {

using Predicate = bool (*)(char32_t);
using Points = std::vector<char32_t>;

bool is_digit(char32_t value) {
  return value >= '0' && value <= '9';
}
bool is_no_digit(char32_t value) {
  return !is_digit(value);
}
bool is_stop(char32_t value) {
  return value == '.' || value == ',';
}
bool is_dash(char32_t value) {
  return value == '-';
}
bool is_no_number(char32_t value) {
  return !is_number(value);
}

// ASCII punctuation but for ' , - and the full stop; and the space.
bool is_western_mark(char32_t value) {
  return (value >= '{' && value <= '~') || (value >= '[' && value <= '`') ||
         (value >= ' ' && value <= '&') || (value >= '(' && value <= '+') ||
         (value >= ':' && value <= '@') || value == '/';
}

// re.sub("(first)", " \1 ").
Points set_apart(const Points& line, Predicate first) {
  Points out;
  for (const char32_t point : line) {
    if (first(point)) {
      out.insert(out.end(), {U' ', point, U' '});
    } else {
      out.push_back(point);
    }
  }
  return out;
}

enum class Mark { first, second };

// re.sub("(first)(second)", ...): spaces around the mark, matches from the left and apart. As in
// Perl's original, a mark between two matches may stay where it is.
Points set_apart(const Points& line, Predicate first, Predicate second, Mark mark) {
  Points out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (i + 1 == line.size() || !first(line[i]) || !second(line[i + 1])) {
      out.push_back(line[i]);
    } else if (mark == Mark::first) {
      out.insert(out.end(), {U' ', line[i], U' ', line[i + 1]});
      ++i;
    } else {
      out.insert(out.end(), {line[i], U' ', line[i + 1], U' '});
      ++i;
    }
  }
  return out;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string out;
  std::size_t begin = 0;
  for (std::size_t at = text.find(from); at != text.npos; at = text.find(from, begin)) {
    out.append(text, begin, at - begin).append(to);
    begin = at + from.size();
  }
  text = out.append(text, begin);
}

Points tokenize_v13a(std::string_view line) {
  std::string text(line);
  replace_all(text, "<skipped>", "");
  replace_all(text, "-\n", "");
  replace_all(text, "\n", " ");
  replace_all(text, "&quot;", "\"");
  replace_all(text, "&amp;", "&");
  replace_all(text, "&lt;", "<");
  replace_all(text, "&gt;", ">");
  Points points = code_points_of(" " + text + " ");
  points = set_apart(points, is_western_mark);
  points = set_apart(points, is_no_digit, is_stop, Mark::second);
  points = set_apart(points, is_stop, is_no_digit, Mark::first);
  return set_apart(points, is_digit, is_dash, Mark::second);
}

Points tokenize_international(std::string_view line) {
  Points points = code_points_of(line);
  points = set_apart(points, is_no_number, is_punctuation, Mark::second);
  points = set_apart(points, is_punctuation, is_no_number, Mark::first);
  return set_apart(points, is_symbol);
}

std::string text_of(const Points& points) {
  std::string text;
  for (const char32_t point : points) tok::append_code_point(text, point);
  return text;
}

}  // namespace

std::string tokenize_for_bleu(std::string_view line, BleuTokenizer tokenizer) {
  switch (tokenizer) {
    case BleuTokenizer::v13a:
      return text_of(tokenize_v13a(line));
    case BleuTokenizer::international:
      return text_of(tokenize_international(line));
    case BleuTokenizer::character:
      return text_of(set_apart(code_points_of(line), [](char32_t) { return true; }));
    case BleuTokenizer::none:
      break;
  }
  return std::string(line);
}

}  // namespace collie::metrics
