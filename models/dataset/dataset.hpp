// Tokenised data and its micro-batches. Batches are a pure function of (seed, step, replica,
// micro-batch): there is no cursor, so a resumed run reads on where it stopped, on any grid.
//
// Legend: B rows of a micro-batch, S = data.sequence_length, T = B * S.
//
// From documents to rows: a document of n tokens (begin and end tokens included) fills n - 1 slots,
// because its last token is only predicted. Plain text and {text} records longer than S slots are
// cut into pieces; longer records of the other shapes are truncated, and dropped when nothing to
// learn is left (both counted). With packing, pieces share rows (best fit decreasing, planned
// once, over all pieces or within data.packing_window); without, each has its own row. Packed
// documents never see each other: positions restart at 0. Free slots hold the fill token with
// position 0 and no label.
//
// Virtual tokens of a tuning method stand before every piece: slots with virtual_token_id, the
// first positions and no label, for which pieces have that much less room.
//
// Order: training repeats epochs without end and each epoch is a new keyed permutation of all
// rows (data.shuffle; otherwise the order of the plan). A global batch that reaches the end of an
// epoch goes on in the next one: nothing is dropped. Validation walks its rows once in order, its
// last batch is filled with empty rows.
//
// Where sources of data.train have weights, each source is a pool of rows with epochs and
// permutations of its own, and mixing.hpp says which gives the row at a place. An epoch of the
// whole is then as many rows as there are in all pools.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/batch.hpp"
#include "models/dataset/mixing.hpp"
#include "models/dataset/packing.hpp"
#include "models/dataset/text_encoder.hpp"
#include "models/dataset/token_store.hpp"
#include "runtime/allocator.hpp"
#include "runtime/config.hpp"

namespace collie {

struct DatasetOptions {
  std::int64_t seed = 0;
  std::int64_t context_length = 0;   // most positions of the model, 0: not checked
  std::int64_t vocabulary_size = 0;  // ids must be below, 0: not checked
  std::int64_t virtual_tokens = 0;   // before every piece of a document: see Tuning::tokens_before
};

struct DatasetStatistics {
  std::int64_t documents = 0;  // in rows; those that were cut into pieces count once
  std::int64_t records = 0;
  std::int64_t empty = 0;      // no text: left out
  std::int64_t truncated = 0;  // longer than a row
  std::int64_t dropped = 0;    // truncated before anything to learn
  std::int64_t rows = 0;
  std::int64_t tokens = 0;          // slots in use
  std::int64_t learned_tokens = 0;  // of those, with a label
  DatasetStatistics& operator+=(const DatasetStatistics& other);
  // Of all slots of all rows, those in use.
  double fill_ratio(std::int64_t sequence_length) const {
    return static_cast<double>(tokens) / static_cast<double>(rows * sequence_length);
  }
};

// How a global batch is cut. Its rows do not depend on the cut: row ((replica * accumulation +
// micro_batch) * micro_batch_size + r) of the step's rows is row r of that micro-batch, so grids
// with equal dp * accumulation * micro_batch_size see the same batches.
struct BatchLayout {
  std::int64_t dp = 1;
  std::int64_t accumulation = 1;
  std::int64_t micro_batch_size = 1;  // rows

  std::int64_t global_rows() const { return dp * accumulation * micro_batch_size; }
};
BatchLayout batch_layout(const RunConfig& config);

// The rows of one source, or of all sources without weights.
struct RowPool {
  std::string name;
  double weight = 1.0;
  std::shared_ptr<const TokenStore> store;
  RowPlan plan;  // at least one row, and each piece has a label
  DatasetStatistics statistics;
};

// Immutable and cheap to copy; its const members may run in several threads at once.
class Dataset {
 public:
  enum class Order { endless, once };

  // One or more pools: mixed by weight in an endless order, else one after the other. Their plans
  // leave room for virtual_tokens before each piece.
  Dataset(std::vector<RowPool> pools, std::int64_t sequence_length, Order order, bool shuffle,
          std::int64_t seed, std::int64_t virtual_tokens = 0);

  std::int64_t row_count() const { return statistics_.rows; }  // of all pools
  std::int64_t sequence_length() const { return sequence_length_; }
  const DatasetStatistics& statistics() const { return statistics_; }  // of all pools
  std::span<const RowPool> pools() const { return *pools_; }
  // How often each pool was gone through after this many rows of the endless sequence.
  // Only of an endless order.
  std::vector<double> pool_epochs(std::int64_t rows) const;

  // Global batches that touch one epoch: ceil(rows / global rows).
  std::int64_t steps_per_epoch(const BatchLayout& layout) const;

  // Steps, replicas and micro-batches count from 0. loss_scale is left to whoever has drawn the
  // whole global batch: see MicroBatch.
  MicroBatch micro_batch(const BatchLayout& layout, std::int64_t step, std::int64_t replica,
                         std::int64_t index, Allocator& allocator) const;

  // Bytes that these datasets keep in memory; null ones keep none, and tokens that several share
  // count once. Tokens in mapped files count nothing: the kernel may take their pages back.
  static std::size_t memory_bytes(std::initializer_list<const Dataset*> datasets);

  struct Row {
    std::size_t pool = 0;
    std::int64_t index = 0;  // in the pool's plan
    std::int64_t epoch = 0;  // of the pool
  };
  // The row at this place of the endless sequence of rows; none beyond the end of finite data.
  std::optional<Row> row_at(std::int64_t place) const;

 private:
  std::optional<Row> finite_row_at(std::int64_t place) const;
  struct Slots;  // where one row is written
  // Returns how many labels count.
  std::int64_t fill_row(const std::optional<Row>& row, const Slots& slots) const;

  std::shared_ptr<const std::vector<RowPool>> pools_;
  std::shared_ptr<const MixSchedule> mix_;  // null where there is one pool
  DatasetStatistics statistics_;
  std::int64_t sequence_length_ = 0;
  std::int64_t virtual_tokens_ = 0;
  Order order_ = Order::endless;
  bool shuffle_ = false;
  std::uint64_t seed_ = 0;
};

struct DataSplits {
  Dataset train;
  std::optional<Dataset> validation;
};

// Training data (files and directories of tokens), and validation data from data.validation or as
// data.validation_fraction of the training records: those with the smallest hashes of their index;
// of a plain text file that is one document its last part instead. Errors: invalid_config for a
// sequence longer than the model's context, invalid_data for empty data and ids beyond the
// vocabulary, and all of read_records().
Result<DataSplits> open_training_data(const DataSection& data, const TextEncoder& encoder,
                                      const DatasetOptions& options);

// The validation files (data.validation) alone, or the validation part of data.train.
Result<Dataset> open_validation_data(const DataSection& data, const TextEncoder& encoder,
                                     const DatasetOptions& options);

}  // namespace collie
