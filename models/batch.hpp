// One micro-batch of one replica, as the feeder hands it to the first stage and the loss stage.
#pragma once

#include "runtime/tensor.hpp"

namespace collie {

inline constexpr std::int32_t ignored_label = -100;  // Hugging Face's value for "no loss here"

// Legend: B rows, S tokens a row, T = B * S.
struct MicroBatch {
  std::int64_t rows = 0;          // B
  std::int64_t sequence = 0;      // S
  Tensor ids_t;                   // i32 [T]
  Tensor labels_t;                // i32 [T]: the id to predict at this position, or ignored_label
  Tensor positions_t;             // i32 [T]: restart at 0 with each document of a row
  std::int64_t valid_tokens = 0;  // labels that count
  // The weight of one token's loss: 1 / (valid tokens of the whole global batch), so that results
  // do not depend on how the batch was cut.
  float loss_scale = 1.0F;
};

}  // namespace collie
