#include "actors/schedule/views/compare.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace collie {

std::string aligned_table(const std::vector<std::vector<std::string>>& rows,
                          const std::vector<std::size_t>& left) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      const bool is_left = std::find(left.begin(), left.end(), column) != left.end();
      if (column > 0) line += "  ";
      line += is_left ? fmt::format("{:<{}}", row[column], widths[column])
                      : fmt::format("{:>{}}", row[column], widths[column]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string comparison_table(std::span<const Picture> pictures) {
  std::vector<std::vector<std::string>> rows = {{""}};
  for (const Picture& picture : pictures) {
    rows.front().push_back(picture.title);
    const auto summary = summary_of(picture);
    rows.resize(std::max(rows.size(), summary.size() + 1));
    for (std::size_t index = 0; index < summary.size(); ++index) {
      auto& row = rows[index + 1];
      if (row.empty()) row.push_back(summary[index].first);
      row.push_back(summary[index].second);
    }
  }
  return aligned_table(rows);
}

}  // namespace collie
