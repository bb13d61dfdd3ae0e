#include "models/dataset/scored_rows.hpp"

#include <algorithm>
#include <numeric>

#include "runtime/check.hpp"

namespace collie {

namespace {

std::int64_t slots_of(const ScoredRow& row) {
  return static_cast<std::int64_t>(row.ids.size()) - 1;
}

}  // namespace

std::vector<std::size_t> longest_first(std::span<const ScoredRow> rows) {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{},
                           [&](std::size_t row) { return rows[row].ids.size(); });
  return order;
}

MicroBatch make_scored_batch(std::span<const ScoredRow* const> rows, std::int64_t rows_of_batch,
                             std::int32_t fill_id, Allocator& allocator,
                             std::int64_t virtual_tokens) {
  COLLIE_CHECK(static_cast<std::int64_t>(rows.size()) <= rows_of_batch, "{} rows in a batch of {}",
               rows.size(), rows_of_batch);
  MicroBatch batch;
  batch.rows = rows_of_batch;
  batch.sequence = 1;
  for (const ScoredRow* row : rows) {
    batch.sequence = std::max(batch.sequence, virtual_tokens + slots_of(*row));
  }
  const Shape shape{batch.rows * batch.sequence};
  batch.ids_t = allocate_tensor(allocator, DType::i32, shape);
  batch.labels_t = allocate_tensor(allocator, DType::i32, shape);
  batch.positions_t = allocate_tensor(allocator, DType::i32, shape);
  auto* ids = batch.ids_t.mutable_data<std::int32_t>();
  auto* labels = batch.labels_t.mutable_data<std::int32_t>();
  auto* positions = batch.positions_t.mutable_data<std::int32_t>();
  std::fill_n(ids, shape.element_count(), fill_id);
  std::fill_n(labels, shape.element_count(), ignored_label);
  std::fill_n(positions, shape.element_count(), 0);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const ScoredRow& row = *rows[r];
    COLLIE_CHECK(row.ids.size() > 1 && row.first_scored >= 1, "a row with nothing to score");
    std::int64_t begin = static_cast<std::int64_t>(r) * batch.sequence;
    for (std::int64_t slot = 0; slot < virtual_tokens; ++slot, ++begin) {
      ids[begin] = virtual_token_id;
      positions[begin] = static_cast<std::int32_t>(slot);
    }
    for (std::int64_t slot = 0; slot < slots_of(row); ++slot) {
      const auto next = static_cast<std::size_t>(slot + 1);
      ids[begin + slot] = row.ids[next - 1];
      positions[begin + slot] = static_cast<std::int32_t>(virtual_tokens + slot);
      if (next < row.first_scored) continue;
      labels[begin + slot] = row.ids[next];
      ++batch.valid_tokens;
    }
  }
  return batch;
}

}  // namespace collie
