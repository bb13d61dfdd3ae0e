// Foreign names in messages: the nearest known one, and a form that is safe to print.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace collie {

// Fewest insertions, deletions, substitutions and swaps of neighbours that turn one into the other
// (optimal string alignment). O(|a| |b|).
std::size_t edit_distance(std::string_view a, std::string_view b);

// The known name nearest to name, the first of equals; none where all are too far to be meant. Case
// differences count less than others.
std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> known);

// "; did you mean 'lr'?", or nothing where no known name is near.
std::string did_you_mean(std::string_view name, std::span<const std::string> known);

// 'name' on one line: control characters escaped, longer than 80 bytes cut.
std::string quoted_name(std::string_view name);

}  // namespace collie
