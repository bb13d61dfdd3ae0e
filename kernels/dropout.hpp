// Inverted dropout whose mask is a function of the element's place in the run, so that forward,
// backward and a recomputed forward agree, and any cut of the data or of the columns gives the
// same.
#pragma once

#include <cstdint>

#include "runtime/stream.hpp"

namespace collie::kernels {

// Where an activation [T, K] stands: row t of it is row row_begin + t + (t / rows_together) *
// rows_between of the run (rows of a part of each sequence lie apart), its columns are
// [column_begin, column_begin + K) of `columns`.
struct DropoutPlace {
  std::uint64_t seed = 0;
  std::uint64_t stream_id = 0;  // tells one layer's masks from another's
  double probability = 0.0;     // in [0, 1)
  std::int64_t row_begin = 0;
  std::int64_t rows_together = 1;
  std::int64_t rows_between = 0;
  std::int64_t columns = 0;
  std::int64_t column_begin = 0;
};

// out = mask * x / (1 - probability), or added to out. x, out: f32 or bf16 [T, K], out may be x.
// Philox-4x32-10, 16 bits an element: the probability is exact to 2^-16.
void dropout(Stream& stream, const Tensor& x_tk, const DropoutPlace& place, Tensor& out_tk,
             bool accumulate = false);

}  // namespace collie::kernels
