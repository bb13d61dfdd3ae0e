// Rounding that keeps the mean: to one of the two neighbouring bfloat16 values, to the nearer with
// the greater probability, so that many updates smaller than half a step add up.
#pragma once

#include <cstdint>

#include "runtime/stream.hpp"

namespace collie::kernels {

// Element i draws from Philox-4x32-10 by (seed, step, stream_id, first_index + i) alone.
struct RoundingNumbers {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;       // its lower 32 bits count
  std::uint64_t stream_id = 0;  // which parameter
  std::int64_t first_index = 0;
};

// from: f32; to: bf16 of the same shape. What is not finite stays so.
void round_stochastic(Stream& stream, const RoundingNumbers& numbers, const Tensor& from,
                      Tensor& to);

}  // namespace collie::kernels
