#include "models/dataset/dataset.hpp"

#include <algorithm>
#include <set>

#include "models/dataset/permutation.hpp"

namespace collie {
namespace {

std::vector<std::int32_t> count_labels(const TokenStore& store, const RowPlan& plan) {
  std::vector<std::int32_t> counts;
  counts.reserve(static_cast<std::size_t>(plan.row_count()));
  for (std::int64_t row = 0; row < plan.row_count(); ++row) {
    std::int32_t count = 0;
    for (const Piece& piece : plan.row(row)) {
      const auto first = store.learned.begin() + piece.token_begin + 1;
      count += static_cast<std::int32_t>(std::count(first, first + piece.slots, true));
    }
    counts.push_back(count);
  }
  return counts;
}

}  // namespace

BatchLayout batch_layout(const RunConfig& config) {
  return {config.grid.dp, config.train.accumulation, config.train.micro_batch_size};
}

Dataset::Dataset(std::shared_ptr<const TokenStore> store, RowPlan plan,
                 DatasetStatistics statistics, std::int64_t sequence_length, Order order,
                 bool shuffle, std::int64_t seed)
    : store_(std::move(store)),
      plan_(std::make_shared<const RowPlan>(std::move(plan))),
      row_labels_(std::make_shared<const std::vector<std::int32_t>>(count_labels(*store_, *plan_))),
      statistics_(statistics),
      sequence_length_(sequence_length),
      order_(order),
      shuffle_(shuffle),
      seed_(static_cast<std::uint64_t>(seed)) {
  COLLIE_CHECK(row_count() > 0, "a dataset without rows");
  statistics_.rows = row_count();
  for (const Piece& piece : plan_->pieces) statistics_.tokens += piece.slots;
  for (const std::int32_t count : *row_labels_) statistics_.learned_tokens += count;
}

std::size_t Dataset::memory_bytes(std::initializer_list<const Dataset*> datasets) {
  std::size_t bytes = 0;
  std::set<const TokenStore*> stores;
  for (const Dataset* dataset : datasets) {
    if (dataset == nullptr) continue;
    const RowPlan& plan = *dataset->plan_;
    bytes += plan.pieces.size() * sizeof(Piece) + plan.row_begin.size() * sizeof(std::int64_t) +
             dataset->row_labels_->size() * sizeof(std::int32_t);
    const TokenStore& store = *dataset->store_;
    if (!stores.insert(&store).second) continue;
    bytes += store.ids.size() * sizeof(std::int32_t) + store.learned.size() / 8;
  }
  return bytes;
}

std::int64_t Dataset::steps_per_epoch(const BatchLayout& layout) const {
  return (row_count() + layout.global_rows() - 1) / layout.global_rows();
}

std::int64_t Dataset::row_at(std::int64_t place) const {
  COLLIE_CHECK(place >= 0, "row {} of the data", place);
  const std::int64_t epoch = place / row_count();
  if (epoch > 0 && order_ == Order::once) return -1;
  const std::int64_t index = place % row_count();
  if (!shuffle_) return index;
  return Permutation(row_count(), seed_, static_cast<std::uint64_t>(epoch))(index);
}

void Dataset::fill_row(std::int64_t row, std::int32_t* ids, std::int32_t* labels,
                       std::int32_t* positions) const {
  std::int64_t slot = 0;
  if (row >= 0) {
    for (const Piece& piece : plan_->row(row)) {
      for (std::int64_t i = 0; i < piece.slots; ++i, ++slot) {
        const auto token = static_cast<std::size_t>(piece.token_begin + i);
        ids[slot] = store_->ids[token];
        labels[slot] = store_->learned[token + 1] ? store_->ids[token + 1] : ignored_label;
        positions[slot] = static_cast<std::int32_t>(i);
      }
    }
  }
  std::fill(ids + slot, ids + sequence_length_, store_->fill_id);
  std::fill(labels + slot, labels + sequence_length_, ignored_label);
  std::fill(positions + slot, positions + sequence_length_, 0);
}

MicroBatch Dataset::micro_batch(const BatchLayout& layout, std::int64_t step, std::int64_t replica,
                                std::int64_t index, Allocator& allocator) const {
  COLLIE_CHECK(replica >= 0 && replica < layout.dp && index >= 0 && index < layout.accumulation,
               "micro-batch {} of replica {} in a layout of {} x {}", index, replica, layout.dp,
               layout.accumulation);
  MicroBatch batch;
  batch.rows = layout.micro_batch_size;
  batch.sequence = sequence_length_;
  const Shape shape{batch.rows * batch.sequence};
  batch.ids_t = allocate_tensor(allocator, DType::i32, shape);
  batch.labels_t = allocate_tensor(allocator, DType::i32, shape);
  batch.positions_t = allocate_tensor(allocator, DType::i32, shape);
  const std::int64_t first = step * layout.global_rows() +
                             (replica * layout.accumulation + index) * layout.micro_batch_size;
  for (std::int64_t r = 0; r < batch.rows; ++r) {
    const std::int64_t row = row_at(first + r);
    const std::int64_t at = r * batch.sequence;
    fill_row(row, batch.ids_t.mutable_data<std::int32_t>() + at,
             batch.labels_t.mutable_data<std::int32_t>() + at,
             batch.positions_t.mutable_data<std::int32_t>() + at);
    if (row >= 0) batch.valid_tokens += (*row_labels_)[static_cast<std::size_t>(row)];
  }
  return batch;
}

}  // namespace collie
