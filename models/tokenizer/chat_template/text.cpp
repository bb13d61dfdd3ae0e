#include "models/tokenizer/chat_template/text.hpp"

#include <utf8proc.h>

#include <algorithm>

#include "models/tokenizer/utf8.hpp"

namespace collie::chat {

bool is_space(char32_t value) {
  return (value >= 0x1C && value <= 0x1F) || tok::is_white_space(value);
}

std::size_t leading_space(std::string_view text) {
  std::size_t place = 0;
  while (place < text.size()) {
    const auto [value, bytes] = tok::code_point_at(text, place);
    if (!is_space(value)) break;
    place += bytes;
  }
  return place;
}

std::size_t trailing_space(std::string_view text) {
  std::size_t place = text.size();
  while (place > 0) {
    const auto [value, bytes] = tok::code_point_before(text, place);
    if (!is_space(value)) break;
    place -= bytes;
  }
  return text.size() - place;
}

std::size_t length_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
  }));
}

std::size_t byte_of(std::string_view text, std::size_t index) {
  std::size_t place = 0;
  while (index > 0 && place < text.size()) {
    place += tok::code_point_at(text, place).bytes;
    --index;
  }
  return place;
}

std::vector<std::string_view> code_points(std::string_view text) {
  std::vector<std::string_view> points;
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t bytes = tok::code_point_at(text, place).bytes;
    points.push_back(text.substr(place, bytes));
    place += bytes;
  }
  return points;
}

std::string_view strip(std::string_view text, std::optional<std::string_view> set, Sides sides) {
  // A code point's bytes stand in the set only as that code point: UTF-8 synchronises itself.
  const auto strips = [&](tok::CodePoint point, std::size_t place) {
    return set ? set->find(text.substr(place, point.bytes)) != set->npos : is_space(point.value);
  };
  while (sides != Sides::right && !text.empty()) {
    const tok::CodePoint point = tok::code_point_at(text, 0);
    if (!strips(point, 0)) break;
    text.remove_prefix(point.bytes);
  }
  while (sides != Sides::left && !text.empty()) {
    const tok::CodePoint point = tok::code_point_before(text, text.size());
    if (!strips(point, text.size() - point.bytes)) break;
    text.remove_suffix(point.bytes);
  }
  return text;
}

namespace {

std::vector<std::string_view> split_space(std::string_view text, std::int64_t most) {
  std::vector<std::string_view> parts;
  text.remove_prefix(leading_space(text));
  while (!text.empty()) {
    if (most >= 0 && static_cast<std::int64_t>(parts.size()) == most) {
      text.remove_suffix(trailing_space(text));
      parts.push_back(text);
      break;
    }
    std::size_t end = 0;
    while (end < text.size()) {
      const auto [value, bytes] = tok::code_point_at(text, end);
      if (is_space(value)) break;
      end += bytes;
    }
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end);
    text.remove_prefix(leading_space(text));
  }
  return parts;
}

std::vector<std::string_view> split_space_from_right(std::string_view text, std::int64_t most) {
  std::vector<std::string_view> parts;
  text.remove_suffix(trailing_space(text));
  while (!text.empty()) {
    if (most >= 0 && static_cast<std::int64_t>(parts.size()) == most) {
      text.remove_prefix(leading_space(text));
      parts.push_back(text);
      break;
    }
    std::size_t begin = text.size();
    while (begin > 0) {
      const auto [value, bytes] = tok::code_point_before(text, begin);
      if (is_space(value)) break;
      begin -= bytes;
    }
    parts.push_back(text.substr(begin));
    text.remove_suffix(text.size() - begin);
    text.remove_suffix(trailing_space(text));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> by,
                                    std::int64_t most) {
  if (!by) return split_space(text, most);
  std::vector<std::string_view> parts;
  while (most < 0 || static_cast<std::int64_t>(parts.size()) < most) {
    const std::size_t place = text.find(*by);
    if (place == text.npos) break;
    parts.push_back(text.substr(0, place));
    text.remove_prefix(place + by->size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_from_right(std::string_view text,
                                               std::optional<std::string_view> by,
                                               std::int64_t most) {
  if (!by) return split_space_from_right(text, most);
  std::vector<std::string_view> parts;
  while (most < 0 || static_cast<std::int64_t>(parts.size()) < most) {
    const std::size_t place = text.rfind(*by);
    if (place == text.npos) break;
    parts.push_back(text.substr(place + by->size()));
    text = text.substr(0, place);
  }
  parts.push_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  const auto ends_line = [](char32_t value) {
    return (value >= 0x0A && value <= 0x0D) || (value >= 0x1C && value <= 0x1E) || value == 0x85 ||
           value == 0x2028 || value == 0x2029;
  };
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t place = 0; place < text.size();) {
    const auto [value, bytes] = tok::code_point_at(text, place);
    const std::size_t line_end = place;
    place += bytes;
    if (!ends_line(value)) continue;
    if (value == '\r' && place < text.size() && text[place] == '\n') ++place;
    lines.push_back(text.substr(begin, (keep_ends ? place : line_end) - begin));
    begin = place;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::size_t count_of(std::string_view text, std::string_view old) {
  if (old.empty()) return length_of(text) + 1;
  std::size_t count = 0;
  for (std::size_t place = text.find(old); place != text.npos;
       place = text.find(old, place + old.size())) {
    ++count;
  }
  return count;
}

std::string replace(std::string_view text, std::string_view old, std::string_view by,
                    std::int64_t most) {
  std::string made;
  std::int64_t done = 0;
  const auto more = [&] { return most < 0 || done < most; };
  if (old.empty()) {
    for (const std::string_view point : code_points(text)) {
      if (more()) made.append(by);
      ++done;
      made.append(point);
    }
    if (more()) made.append(by);
    return made;
  }
  while (more()) {
    const std::size_t place = text.find(old);
    if (place == text.npos) break;
    made.append(text.substr(0, place)).append(by);
    text.remove_prefix(place + old.size());
    ++done;
  }
  return made.append(text);
}

}  // namespace collie::chat
