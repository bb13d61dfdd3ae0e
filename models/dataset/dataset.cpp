#include "models/dataset/dataset.hpp"

#include <algorithm>
#include <set>

#include "models/dataset/permutation.hpp"
#include "runtime/check.hpp"

namespace collie {
DatasetStatistics& DatasetStatistics::operator+=(const DatasetStatistics& other) {
  documents += other.documents;
  records += other.records;
  empty += other.empty;
  truncated += other.truncated;
  dropped += other.dropped;
  rows += other.rows;
  tokens += other.tokens;
  learned_tokens += other.learned_tokens;
  return *this;
}

BatchLayout batch_layout(const RunConfig& config) {
  return {config.grid.dp, config.train.accumulation, config.train.micro_batch_size};
}

Dataset::Dataset(std::vector<RowPool> pools, std::int64_t sequence_length, Order order,
                 bool shuffle, std::int64_t seed, std::int64_t virtual_tokens)
    : sequence_length_(sequence_length),
      virtual_tokens_(virtual_tokens),
      order_(order),
      shuffle_(shuffle),
      seed_(static_cast<std::uint64_t>(seed)) {
  COLLIE_CHECK(!pools.empty(), "a dataset without rows");
  std::vector<double> weights;
  for (const RowPool& pool : pools) {
    COLLIE_CHECK(pool.plan.row_count() > 0, "a pool without rows");
    statistics_ += pool.statistics;
    weights.push_back(pool.weight);
  }
  if (pools.size() > 1 && order == Order::endless)
    mix_ = std::make_shared<const MixSchedule>(weights, seed_);
  pools_ = std::make_shared<const std::vector<RowPool>>(std::move(pools));
}

std::size_t Dataset::memory_bytes(std::initializer_list<const Dataset*> datasets) {
  std::size_t bytes = 0;
  std::set<const TokenStore*> stores;
  for (const Dataset* dataset : datasets) {
    if (dataset == nullptr) continue;
    for (const RowPool& pool : *dataset->pools_) {
      bytes += pool.plan.pieces.size() * sizeof(Piece) +
               pool.plan.row_begin.size() * sizeof(std::int64_t);
      if (stores.insert(pool.store.get()).second) bytes += pool.store->memory_bytes();
    }
  }
  return bytes;
}

std::int64_t Dataset::steps_per_epoch(const BatchLayout& layout) const {
  return (row_count() + layout.global_rows() - 1) / layout.global_rows();
}

std::vector<double> Dataset::pool_epochs(std::int64_t rows) const {
  const std::vector<std::int64_t> counts = mix_ ? mix_->counts(rows) : std::vector{rows};
  std::vector<double> epochs;
  for (std::size_t pool = 0; pool < counts.size(); ++pool) {
    epochs.push_back(static_cast<double>(counts[pool]) /
                     static_cast<double>((*pools_)[pool].plan.row_count()));
  }
  return epochs;
}

std::optional<Dataset::Row> Dataset::row_at(std::int64_t place) const {
  COLLIE_CHECK(place >= 0, "row {} of the data", place);
  if (order_ == Order::once) return finite_row_at(place);
  const MixSchedule::Draw draw = mix_ ? mix_->at(place) : MixSchedule::Draw{0, place};
  const std::int64_t rows = (*pools_)[draw.source].plan.row_count();
  Row row{draw.source, draw.index % rows, draw.index / rows};
  if (shuffle_) {
    const std::uint64_t seed = draw.source == 0 ? seed_ : mix_bits(seed_ + draw.source);
    row.index = Permutation(rows, seed, static_cast<std::uint64_t>(row.epoch))(row.index);
  }
  return row;
}

std::optional<Dataset::Row> Dataset::finite_row_at(std::int64_t place) const {
  for (std::size_t pool = 0; pool < pools_->size(); ++pool) {
    const std::int64_t rows = (*pools_)[pool].plan.row_count();
    if (place < rows) return Row{pool, place, 0};
    place -= rows;
  }
  return std::nullopt;
}

struct Dataset::Slots {
  std::int32_t* ids;
  std::int32_t* labels;
  std::int32_t* positions;
  // Tokens of one piece: one more than it has slots.
  std::vector<std::int32_t>& token_ids;
  std::vector<std::uint8_t>& learned;
};

std::int64_t Dataset::fill_row(const std::optional<Row>& row, const Slots& slots) const {
  std::int64_t slot = 0;
  std::int64_t label_count = 0;
  const RowPool& pool = (*pools_)[row ? row->pool : 0];
  const std::span<const Piece> pieces = row ? pool.plan.row(row->index) : std::span<const Piece>{};
  for (const Piece& piece : pieces) {
    pool.store->copy(piece.token_begin, piece.slots + 1, slots.token_ids.data(),
                     slots.learned.data());
    for (std::int64_t i = 0; i < virtual_tokens_; ++i, ++slot) {
      slots.ids[slot] = virtual_token_id;
      slots.labels[slot] = ignored_label;
      slots.positions[slot] = static_cast<std::int32_t>(i);
    }
    for (std::int64_t i = 0; i < piece.slots; ++i, ++slot) {
      const auto next = static_cast<std::size_t>(i + 1);
      slots.ids[slot] = slots.token_ids[next - 1];
      slots.labels[slot] = slots.learned[next] != 0 ? slots.token_ids[next] : ignored_label;
      slots.positions[slot] = static_cast<std::int32_t>(virtual_tokens_ + i);
      label_count += slots.learned[next];
    }
  }
  std::fill(slots.ids + slot, slots.ids + sequence_length_, pool.store->fill_id());
  std::fill(slots.labels + slot, slots.labels + sequence_length_, ignored_label);
  std::fill(slots.positions + slot, slots.positions + sequence_length_, 0);
  return label_count;
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
  batch.first_row = first;
  std::vector<std::int32_t> token_ids(static_cast<std::size_t>(sequence_length_ + 1));
  std::vector<std::uint8_t> learned(token_ids.size());
  for (std::int64_t r = 0; r < batch.rows; ++r) {
    const std::int64_t at = r * batch.sequence;
    batch.valid_tokens +=
        fill_row(row_at(first + r),
                 {batch.ids_t.mutable_data<std::int32_t>() + at,
                  batch.labels_t.mutable_data<std::int32_t>() + at,
                  batch.positions_t.mutable_data<std::int32_t>() + at, token_ids, learned});
  }
  return batch;
}

}  // namespace collie
