#include "runtime/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace collie {

namespace {

constexpr std::size_t suggestion_bytes_max = 128;  // longer names are not typing mistakes
constexpr std::size_t quoted_bytes_max = 80;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, substituted});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> known) {
  if (name.size() > suggestion_bytes_max) return std::nullopt;
  const std::string wanted = lower(name);
  const std::string* nearest = nullptr;
  std::size_t nearest_score = 0;
  for (const std::string& candidate : known) {
    if (candidate.size() > suggestion_bytes_max) continue;
    const std::size_t distance = edit_distance(wanted, lower(candidate));
    const std::size_t longer = std::max(wanted.size(), candidate.size());
    if (distance > 1 + longer / 4 || distance >= longer) continue;
    const std::size_t score = 2 * distance + (candidate == name ? 0 : 1);
    if (nearest != nullptr && score >= nearest_score) continue;
    nearest = &candidate;
    nearest_score = score;
  }
  if (nearest == nullptr) return std::nullopt;
  return *nearest;
}

std::string did_you_mean(std::string_view name, std::span<const std::string> known) {
  const std::optional<std::string> nearest = nearest_name(name, known);
  return nearest ? fmt::format("; did you mean {}?", quoted_name(*nearest)) : std::string();
}

std::string quoted_name(std::string_view name) {
  std::string out = "'";
  for (const char c : name.substr(0, quoted_bytes_max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out.push_back(c);
    }
  }
  return out + (name.size() > quoted_bytes_max ? "...'" : "'");
}

}  // namespace collie
