// Few rows are touched, so plain loops do.
#include <algorithm>

#include "kernels/dispatch.hpp"
#include "kernels/virtual_tokens_impl.hpp"

namespace collie::kernels::cpu {

namespace {

constexpr std::int64_t token_tile = 64;
constexpr std::int64_t column_tile = 64;

template <class T>
void place(Stream& stream, const Tensor& prefix_cn, const Tensor& positions_t, std::int64_t column,
           Tensor& x_tm) {
  const std::int64_t columns = prefix_cn.dim(0), count = prefix_cn.dim(1), width = x_tm.dim(1);
  const T* const prefix = prefix_cn.data<T>();
  const std::int32_t* const positions = positions_t.data<std::int32_t>();
  T* const x = x_tm.mutable_data<T>();
  for_tiles(stream, x_tm.dim(0), token_tile, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = begin; t < end; ++t) {
      if (positions[t] >= count) continue;
      T* const row = x + t * width + column;
      for (std::int64_t c = 0; c < columns; ++c) row[c] = prefix[c * count + positions[t]];
    }
  });
}

template <class T>
void take(Stream& stream, const Tensor& positions_t, std::int64_t column, Tensor& dx_tm,
          Tensor& dprefix_cn, bool accumulate) {
  const std::int64_t count = dprefix_cn.dim(1), width = dx_tm.dim(1);
  const std::int32_t* const positions = positions_t.data<std::int32_t>();
  float* const dprefix = dprefix_cn.mutable_data<float>();
  T* const dx = dx_tm.mutable_data<T>();
  const auto body = [&](std::int64_t begin, std::int64_t end, int) {
    if (!accumulate) std::fill(dprefix + begin * count, dprefix + end * count, 0.0F);
    for (std::int64_t t = 0; t < dx_tm.dim(0); ++t) {
      if (positions[t] >= count) continue;
      T* const row = dx + t * width + column;
      for (std::int64_t c = begin; c < end; ++c) {
        dprefix[c * count + positions[t]] += static_cast<float>(row[c]);
        row[c] = T(0.0F);
      }
    }
  };
  for_tiles(stream, dprefix_cn.dim(0), column_tile, body);
}

template <class T>
void clip(Tensor& x) {
  T* const data = x.mutable_data<T>();
  for (std::int64_t i = 0; i < x.element_count(); ++i) {
    if (static_cast<float>(data[i]) < 0.0F) data[i] = T(0.0F);
  }
}

template <class T>
void clip_back(const Tensor& y, Tensor& dy) {
  T* const data = dy.mutable_data<T>();
  for (std::int64_t i = 0; i < y.element_count(); ++i) {
    if (!(static_cast<float>(y.data<T>()[i]) > 0.0F)) data[i] = T(0.0F);
  }
}

}  // namespace

void place_prefix(Stream& stream, const Tensor& prefix_cn, const Tensor& positions_t,
                  std::int64_t column, Tensor& x_tm) {
  const auto run = x_tm.dtype() == DType::f32 ? place<float> : place<BFloat16>;
  run(stream, prefix_cn, positions_t, column, x_tm);
}

void take_prefix_gradient(Stream& stream, const Tensor& positions_t, std::int64_t column,
                          Tensor& dx_tm, Tensor& dprefix_cn, bool accumulate) {
  const auto run = dx_tm.dtype() == DType::f32 ? take<float> : take<BFloat16>;
  run(stream, positions_t, column, dx_tm, dprefix_cn, accumulate);
}

void relu(Tensor& x) {
  (x.dtype() == DType::f32 ? clip<float> : clip<BFloat16>)(x);
}

void relu_backward(const Tensor& y, Tensor& dy) {
  (y.dtype() == DType::f32 ? clip_back<float> : clip_back<BFloat16>)(y, dy);
}

}  // namespace collie::kernels::cpu
