#include "actors/generation_turns.hpp"

#include <utility>

#include "models/host_copy.hpp"
#include "models/sampling.hpp"

namespace collie {

namespace {

Tensor ids_on(Stream& stream, const std::vector<std::int32_t>& values) {
  Tensor tensor = stream.allocate(DType::i32, {static_cast<std::int64_t>(values.size())});
  copy_from_host(stream, values.data(), tensor);
  return tensor;
}

MicroBatch batch_of(Stream& stream, const GenerationTurn& turn) {
  std::vector<std::int32_t> ids, positions;
  for (const TurnRow& row : turn.rows) {
    ids.push_back(row.id);
    positions.push_back(static_cast<std::int32_t>(row.position));
  }
  MicroBatch batch;
  batch.rows = static_cast<std::int64_t>(turn.rows.size());
  batch.sequence = 1;
  batch.ids_t = ids_on(stream, ids);
  batch.positions_t = ids_on(stream, positions);
  return batch;
}

}  // namespace

void GenerationTurns::clear() {
  places_.clear();
  caches_.clear();
  state_ = MicroBatchState();
}

// An empty cache of a sequence that has ended serves the next one if it is large enough.
std::vector<LayerCache>& GenerationTurns::caches_of(const TurnRow& row, StageModel& model) {
  std::vector<LayerCache>& caches = places_[row.place];
  if (!row.begins) return caches;
  const bool is_too_small = !caches.empty() && caches.front().cache.dim(0) < row.capacity;
  if (is_too_small) caches.clear();
  if (caches.empty()) caches = model.make_caches(row.capacity);
  for (LayerCache& cache : caches) cache.length = 0;
  return caches;
}

MicroBatchState& GenerationTurns::begin(const Work& work, Stream& stream, StageModel& model) {
  turn_ = work.turn;
  state_.mode = Mode::generate;
  state_.batch = work.batch.rows > 0 ? work.batch : batch_of(stream, turn_);
  state_.input_td = work.tensor;
  caches_.clear();
  for (const TurnRow& row : turn_.rows) {
    const std::vector<LayerCache>& caches = caches_of(row, model);
    caches_.insert(caches_.end(), caches.begin(), caches.end());
  }
  state_.caches = &caches_;
  return state_;
}

Tensor GenerationTurns::take_output() {
  const std::size_t layers = caches_.size() / turn_.rows.size();
  for (std::size_t i = 0; i < turn_.rows.size(); ++i) {
    std::vector<LayerCache>& caches = places_[turn_.rows[i].place];
    for (std::size_t layer = 0; layer < layers; ++layer) {
      caches[layer].length = caches_[i * layers + layer].length;
    }
  }
  return std::exchange(state_.output_td, Tensor());
}

std::vector<std::int32_t> GenerationTurns::sample(Stream& stream) {
  const Tensor logits_tv = std::exchange(state_.logits_tv, Tensor());
  if (!logits_tv || turn_.is_idle) return {};
  const auto vocabulary = static_cast<std::size_t>(logits_tv.dim(1));
  std::vector<float> logits(turn_.rows.size() * vocabulary);
  copy_to_host(stream, logits_tv, logits.data());
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < turn_.rows.size(); ++i) {
    const TurnRow& row = turn_.rows[i];
    const std::int64_t position = row.position + state_.batch.sequence;
    const Result<std::int32_t> id = sample_token(
        std::span(logits).subspan(i * vocabulary, vocabulary), turn_.sampling, position);
    ids.push_back(id ? *id : -1);
  }
  return ids;
}

}  // namespace collie
