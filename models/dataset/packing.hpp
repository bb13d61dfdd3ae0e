// Which piece of which document stands in which row. Pure: lengths in, plan out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/check.hpp"

namespace collie {

// Consecutive tokens of one document: token i is read and token i + 1 predicted, for the `slots`
// tokens from token_begin on. The token at token_begin + slots is only predicted.
struct Piece {
  std::int64_t token_begin = 0;
  std::int64_t slots = 0;
  bool operator==(const Piece&) const = default;
};

// The rows of a dataset: row r holds pieces[row_begin[r]] .. pieces[row_begin[r + 1] - 1].
struct RowPlan {
  std::vector<Piece> pieces;
  std::vector<std::int64_t> row_begin{0};

  std::int64_t row_count() const { return static_cast<std::int64_t>(row_begin.size()) - 1; }
  std::span<const Piece> row(std::int64_t index) const {
    const auto place = static_cast<std::size_t>(index);
    COLLIE_CHECK(index >= 0 && index < row_count(), "row {} of {}", index, row_count());
    return std::span(pieces).subspan(
        static_cast<std::size_t>(row_begin[place]),
        static_cast<std::size_t>(row_begin[place + 1] - row_begin[place]));
  }
};

// Cuts the tokens [begin, end) of one document into pieces of at most `sequence_length` slots.
// Neighbours share one token, so every token but the first is predicted exactly once.
void cut_document(std::int64_t begin, std::int64_t end, std::int64_t sequence_length,
                  std::vector<Piece>& pieces);

// Best fit decreasing: longest pieces first, each into the fullest row that still has room; ties
// go to the row opened first, so the plan is a function of its input. O(n log n). Every piece has
// 1 <= slots <= sequence_length.
//
// With a window, that many pieces are packed at a time, in the order given, and rows do not reach
// over windows: what stands near in the files stays near in the rows. At most one row of each
// window is less than half full.
RowPlan pack_rows(std::span<const Piece> pieces, std::int64_t sequence_length,
                  std::int64_t window = 0);

// One piece a row, in the order given.
RowPlan single_rows(std::span<const Piece> pieces);

}  // namespace collie
