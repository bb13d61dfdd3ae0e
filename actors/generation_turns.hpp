// A shard's part of generation: the key/value caches of the sequences under way, and one turn of
// them at a time (see protocol/generation_core.hpp).
#pragma once

#include <map>
#include <vector>

#include "actors/protocol/work.hpp"
#include "models/stage.hpp"

namespace collie {

class GenerationTurns {
 public:
  // All caches are given back.
  void clear();
  // From work on the stream, like finish(): the state for the model's forward. A prompt's tokens
  // are the work's batch; those of several sequences are gathered here.
  MicroBatchState& begin(const Work& work, Stream& stream, StageModel& model);
  // The forward is done. The stage's output; on the last stage's first shard the next token of each
  // row, -1 where it has no logits that are numbers.
  Tensor take_output();
  std::vector<std::int32_t> sample(Stream& stream);

 private:
  std::vector<LayerCache>& caches_of(const TurnRow& row, StageModel& model);

  std::map<int, std::vector<LayerCache>> places_;
  GenerationTurn turn_;             // under way
  std::vector<LayerCache> caches_;  // ... of its rows
  MicroBatchState state_;
};

}  // namespace collie
