// Schedules side by side, as a table of text. Pure.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "actors/schedule/views/picture.hpp"

namespace collie {

// Columns as wide as their widest cell, two blanks apart; those named in `left` (from 0) are
// aligned left, others right. Rows may be of different lengths.
std::string aligned_table(const std::vector<std::vector<std::string>>& rows,
                          const std::vector<std::size_t>& left = {0});

// One row a figure, one column a picture.
std::string comparison_table(std::span<const Picture> pictures);

}  // namespace collie
