// ROUGE of one prediction against one reference (Lin 2004), as rouge-score computes it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/result.hpp"

namespace collie::metrics {

struct RougeScore {
  double precision = 0.0;
  double recall = 0.0;
  double f = 0.0;
};

using Words = std::vector<std::string>;

// Lower-case runs of ASCII letters and digits; with stem those of more than three bytes without
// their endings.
Words rouge_words(std::string_view text, bool stem);
// Without the lines that are empty.
std::vector<Words> rouge_sentences(std::string_view text, bool stem);

RougeScore rouge_n(const Words& reference, const Words& prediction, std::size_t n);
// The longest common subsequence of the whole texts. invalid_data where the table of the two would
// be too large (rouge_table_cells_max).
Result<RougeScore> rouge_l(const Words& reference, const Words& prediction);
// Section 3.2 of the paper: for each sentence of the reference the union of its longest common
// subsequences with the sentences of the prediction; a word counts as often as both have it.
Result<RougeScore> rouge_l_sum(const std::vector<Words>& reference,
                               const std::vector<Words>& prediction);

inline constexpr std::size_t rouge_table_cells_max = std::size_t{1} << 28;

}  // namespace collie::metrics
