// What a shard keeps so that an update can be taken back to the last bit: its trained parameters, a
// bfloat16 copy of them where kernels read one, and the optimizer's state. Held from the update to
// its validation only: 4 bytes a trained parameter, 2 for the bfloat16 copy, and the state (AdamW
// 8, SGD with momentum 4). Gradients are not copied: nothing may write them meanwhile.
#pragma once

#include <vector>

#include "models/optimizer.hpp"

namespace collie {

// All members but drop() run kernels: call them from inside work submitted to the stream.
class StepCopy {
 public:
  // Before the update.
  void take(Stream& stream, Parameters& parameters, const std::vector<OptimizerState>& states);
  // As they were when the copy was taken, which is dropped; without a copy nothing is done.
  void restore(Stream& stream, Parameters& parameters, const std::vector<OptimizerState>& states);
  void drop() { copies_.clear(); }

 private:
  std::vector<Tensor> copies_;
};

}  // namespace collie
