// Tables 5 and 6 of Qi et al., "Zero Bubble Pipeline Parallelism", ICLR 2024: times profiled on
// A100s, and the bubble rates that the authors computed from them. Data for tests and for the
// command that reproduces the paper.
#pragma once

#include <array>
#include <string_view>

#include "actors/schedule/generators.hpp"

namespace collie {

struct ZeroBubbleModel {
  std::string_view name;
  int hidden, heads;  // h, a; sequences have 1,024 tokens (s)
  int ranks;          // p
  int chunks;         // per rank, of 1F1B-I
};

struct ZeroBubbleTimes {
  double forward_ms, input_ms, weight_ms, communication_ms;  // T_F, T_B, T_W, T_comm
};

struct ZeroBubbleRow {
  ZeroBubbleModel model;
  int micro_batches;      // m
  ZeroBubbleTimes times;  // Table 6: of all layers of a rank
  // Table 5: (cost - m (T_F + T_B + T_W)) / cost, where cost is the longest time that a rank takes
  // from its first action to its last; in the order of zero_bubble_columns.
  std::array<double, 6> bubble_rates;
};

struct ZeroBubbleColumn {
  std::string_view title;      // in the paper
  std::string_view generator;  // in make_schedule
  // Of 1F1B-I the paper's cost is p T_comm less than what counting every hop gives: all twelve
  // published figures agree to four decimals after it is subtracted. The paper does not say so.
  bool one_hop_per_rank_is_free = false;
};

inline constexpr std::array<ZeroBubbleColumn, 6> zero_bubble_columns = {{
    {"1F1B", "1f1b"},
    {"1F1B-I", "interleaved", true},
    {"ZB-H1", "zb-h1"},
    {"ZB-H2", "zb-h2"},
    {"ZB-1p", "zb-1p"},
    {"ZB-2p", "zb-2p"},
}};

inline constexpr ZeroBubbleModel zero_bubble_1_5b{"1.5B", 2304, 24, 8, 3};
inline constexpr ZeroBubbleModel zero_bubble_6_2b{"6.2B", 4096, 32, 8, 4};
inline constexpr ZeroBubbleModel zero_bubble_14_6b{"14.6B", 5120, 40, 16, 3};
inline constexpr ZeroBubbleModel zero_bubble_28_3b{"28.3B", 6144, 48, 32, 2};

inline constexpr std::array<ZeroBubbleRow, 12> zero_bubble_rows = {{
    {zero_bubble_1_5b,
     24,
     {18.522, 18.086, 9.337, 0.601},
     {0.2431, 0.1055, 0.1585, 0.1083, 0.1585, 0.0433}},
    {zero_bubble_1_5b,
     32,
     {18.513, 18.086, 9.331, 0.626},
     {0.1985, 0.0818, 0.1242, 0.0837, 0.1242, 0.0039}},
    {zero_bubble_1_5b,
     64,
     {18.546, 18.097, 9.321, 0.762},
     {0.1240, 0.0443, 0.0674, 0.0444, 0.0674, 0.0026}},
    {zero_bubble_6_2b,
     24,
     {29.718, 29.444, 19.927, 0.527},
     {0.2347, 0.0808, 0.1323, 0.0698, 0.1323, 0.0029}},
    {zero_bubble_6_2b,
     32,
     {29.802, 29.428, 19.530, 0.577},
     {0.1898, 0.0628, 0.1045, 0.0559, 0.1045, 0.0022}},
    {zero_bubble_6_2b,
     64,
     {29.935, 29.621, 19.388, 0.535},
     {0.1091, 0.0320, 0.0554, 0.0294, 0.0554, 0.0010}},
    {zero_bubble_14_6b,
     48,
     {11.347, 11.248, 8.132, 0.377},
     {0.2552, 0.1104, 0.1397, 0.0672, 0.1397, 0.0066}},
    {zero_bubble_14_6b,
     64,
     {11.307, 11.254, 8.101, 0.379},
     {0.2082, 0.0852, 0.1088, 0.0516, 0.1088, 0.0054}},
    {zero_bubble_14_6b,
     128,
     {11.325, 11.308, 8.109, 0.378},
     {0.1251, 0.0445, 0.0576, 0.0266, 0.0576, 0.0028}},
    {zero_bubble_28_3b,
     96,
     {10.419, 10.207, 7.715, 0.408},
     {0.2646, 0.1493, 0.1421, 0.0641, 0.1421, 0.0038}},
    {zero_bubble_28_3b,
     128,
     {10.408, 10.204, 7.703, 0.408},
     {0.2168, 0.1164, 0.1106, 0.0490, 0.1106, 0.0029}},
    {zero_bubble_28_3b,
     256,
     {10.402, 10.248, 7.698, 0.460},
     {0.1352, 0.0624, 0.0594, 0.0257, 0.0594, 0.0018}},
}};

// What make_schedule takes for a row and a column. Times are those of a chunk; memory is in values
// per token: F keeps M_B = 34 h + 5 a s, of which M_W = 32 h stay for W.
inline ScheduleOptions zero_bubble_options(const ZeroBubbleRow& row,
                                           const ZeroBubbleColumn& column) {
  constexpr double tokens = 1024.0;
  const int chunks = column.generator == "interleaved" ? row.model.chunks : 1;
  return {.ranks = row.model.ranks,
          .micro_batches = row.micro_batches,
          .chunks = chunks,
          .forward = row.times.forward_ms / chunks,
          .input = row.times.input_ms / chunks,
          .weight = row.times.weight_ms / chunks,
          .communication = row.times.communication_ms,
          .activation = 34.0 * row.model.hidden + 5.0 * row.model.heads * tokens,
          .weight_stash = 32.0 * row.model.hidden};
}

}  // namespace collie
