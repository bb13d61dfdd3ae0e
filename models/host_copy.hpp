// The only place in models/ that touches the memory behind a tensor: a device build copies instead.
#pragma once

#include <cstddef>
#include <span>

#include "runtime/stream.hpp"

namespace collie {

// Whole tensors, in stream order: call from work submitted to the stream.
void copy_from_host(Stream& stream, const void* host, Tensor& tensor);
void copy_to_host(Stream& stream, const Tensor& tensor, void* host);
void fill_from_host(Stream& stream, Tensor& tensor, float value);  // f32
// Sum of an f32 tensor in double, in index order.
double sum_on_host(Stream& stream, const Tensor& tensor);
// x[r, ...] *= factors[r], f32.
void scale_rows_on_host(Stream& stream, Tensor& x, const Tensor& factors_r);
// The columns of parts[R, V_i] side by side in whole[R, sum of V_i], all f32.
void join_columns(Stream& stream, std::span<const Tensor> parts, Tensor& whole);
// A new tensor of zeros; not in stream order, so only while nothing uses the pool's memory yet.
Tensor allocate_zeros(Allocator& allocator, DType dtype, const Shape& shape);

}  // namespace collie
