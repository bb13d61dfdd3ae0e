// Token sequences of any length whose last part is scored, as micro-batches.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/batch.hpp"
#include "runtime/allocator.hpp"

namespace collie {

struct ScoredRow {
  std::vector<std::int32_t> ids;  // two or more
  std::size_t first_scored = 1;   // ids from here on have a loss; at least 1
};

// The order in which rows share micro-batches with least padding: longest first, equals as given.
std::vector<std::size_t> longest_first(std::span<const ScoredRow> rows);

// rows_of_batch rows; those that `rows` lacks are empty. All are padded with fill_id, without
// labels, to the longest. A row has a slot less than ids, because its last one is only predicted,
// and virtual_tokens more before them.
MicroBatch make_scored_batch(std::span<const ScoredRow* const> rows, std::int64_t rows_of_batch,
                             std::int32_t fill_id, Allocator& allocator,
                             std::int64_t virtual_tokens = 0);

}  // namespace collie
