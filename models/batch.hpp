// One micro-batch of one replica, as the feeder hands it to the first stage and the loss stage.
#pragma once

#include <cstdint>
#include <optional>

#include "runtime/tensor.hpp"

namespace collie {

inline constexpr std::int32_t ignored_label = -100;  // Hugging Face's value for "no loss here"
// The id of a virtual token (see Tuning::tokens_before), which no embedding table has. Which one it
// is, its position says: those of a document begin with the virtual tokens.
inline constexpr std::int32_t virtual_token_id = -1;

// Part `index` of a micro-batch's sequence, which is cut into `count` contiguous parts (Seq1F1B,
// Sun et al. 2024); count 1: all of it.
struct SequenceSlice {
  int index = 0;
  int count = 1;
  // Filled in by cut_slice: tokens of each row in the slices before this one, and in all of them.
  std::int64_t begin = 0;
  std::int64_t whole = 0;
};

// Labels are drawn from the model in place of those given, where these are not ignored: a function
// of this, of a token's place in the run and of the logits.
struct LabelDraw {
  std::uint64_t seed = 0;
  std::int64_t step = 0;  // updates done
  bool operator==(const LabelDraw&) const = default;
};

// Legend: B rows, S tokens a row, T = B * S; of the slice at hand, where the sequence is cut.
struct MicroBatch {
  std::int64_t rows = 0;      // B
  std::int64_t sequence = 0;  // S
  Tensor ids_t;               // i32 [T]
  Tensor labels_t;            // i32 [T]: the id to predict at this position, or ignored_label
  Tensor positions_t;         // i32 [T]: restart at 0 with each document of a row
  // The number of its first row in the whole run: what is drawn at random for a row (dropout)
  // depends on this number, not on how the batch was cut.
  std::int64_t first_row = 0;
  std::int64_t valid_tokens = 0;  // labels that count, in all slices
  // The weight of one token's loss: 1 / (valid tokens of the whole global batch), so that results
  // do not depend on how the batch was cut.
  float loss_scale = 1.0F;
  SequenceSlice slice = {};
  std::optional<LabelDraw> label_draw = {};  // of a round that estimates curvature
};

}  // namespace collie
