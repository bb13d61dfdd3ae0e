#include "kernels/rope.hpp"

#include <cmath>

#include "kernels/dispatch.hpp"
#include "kernels/rope_impl.hpp"

namespace collie::kernels {

namespace {

void check_packed(const Tensor& qkv, const HeadShape& heads, const char* name) {
  require_compute(qkv, name);
  COLLIE_CHECK(heads.heads > 0 && heads.kv_heads > 0 && heads.head_dim > 0, "heads {}:{} of {}",
               heads.heads, heads.kv_heads, heads.head_dim);
  require_shape(qkv, {qkv.dim(0), heads.packed_width()}, name);
}

void check_rotation(const Tensor& qkv, const HeadShape& heads, const RopeTable& table,
                    const Tensor& positions_t) {
  check_packed(qkv, heads, "qkv");
  COLLIE_CHECK(heads.head_dim % 2 == 0, "head_dim {} is odd", heads.head_dim);
  require_dtype(table.cos_pk, DType::f32, "cos");
  require_dtype(table.sin_pk, DType::f32, "sin");
  require_shape(table.cos_pk, {table.cos_pk.dim(0), heads.head_dim / 2}, "cos");
  require_shape(table.sin_pk, table.cos_pk.shape(), "sin");
  require_dtype(positions_t, DType::i32, "positions");
  require_shape(positions_t, {qkv.dim(0)}, "positions");
}

void check_norm(const Tensor& qkv, const HeadShape& heads, const Tensor& q_gain_k,
                const Tensor& k_gain_k, const Tensor& raw_qk, const Tensor& rstd) {
  check_packed(qkv, heads, "qkv");
  const std::int64_t normed = heads.heads + heads.kv_heads;
  for (const Tensor* gain : {&q_gain_k, &k_gain_k}) {
    require_dtype(*gain, qkv.dtype(), "gain");
    require_shape(*gain, {heads.head_dim}, "gain");
  }
  require_dtype(raw_qk, qkv.dtype(), "raw_qk");
  require_shape(raw_qk, {qkv.dim(0), normed * heads.head_dim}, "raw_qk");
  require_dtype(rstd, DType::f32, "rstd");
  require_shape(rstd, {qkv.dim(0), normed}, "rstd");
}

}  // namespace

RopeTable make_rope_table(Allocator& allocator, const std::vector<double>& inverse_frequencies,
                          std::int64_t positions, double attention_factor) {
  const Shape shape{positions, static_cast<std::int64_t>(inverse_frequencies.size())};
  RopeTable table{allocate_tensor(allocator, DType::f32, shape),
                  allocate_tensor(allocator, DType::f32, shape)};
  if (!allocator.backed()) return table;  // planning: only the sizes count
  float* cos = table.cos_pk.mutable_data<float>();
  float* sin = table.sin_pk.mutable_data<float>();
  for (std::int64_t position = 0; position < positions; ++position) {
    for (const double frequency : inverse_frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      *cos++ = static_cast<float>(std::cos(angle) * attention_factor);
      *sin++ = static_cast<float>(std::sin(angle) * attention_factor);
    }
  }
  return table;
}

void rope_forward(Stream& stream, Tensor& qkv, const HeadShape& heads, const RopeTable& table,
                  const Tensor& positions_t) {
  check_rotation(qkv, heads, table, positions_t);
  by_device(stream, [&] { cpu::rotate(stream, qkv, heads, table, positions_t, 1.0F); });
}

void rope_backward(Stream& stream, Tensor& dqkv, const HeadShape& heads, const RopeTable& table,
                   const Tensor& positions_t) {
  check_rotation(dqkv, heads, table, positions_t);
  by_device(stream, [&] { cpu::rotate(stream, dqkv, heads, table, positions_t, -1.0F); });
}

void qk_norm_forward(Stream& stream, Tensor& qkv, const HeadShape& heads, const Tensor& q_gain_k,
                     const Tensor& k_gain_k, float epsilon, Tensor& raw_qk, Tensor& rstd) {
  check_norm(qkv, heads, q_gain_k, k_gain_k, raw_qk, rstd);
  by_device(stream, [&] {
    cpu::qk_norm_forward(stream, {qkv, heads, q_gain_k, k_gain_k, epsilon, raw_qk, rstd});
  });
}

void qk_norm_backward(Stream& stream, Tensor& dqkv, const HeadShape& heads, const Tensor& q_gain_k,
                      const Tensor& k_gain_k, const Tensor& raw_qk, const Tensor& rstd,
                      Tensor& dq_gain_k, Tensor& dk_gain_k, bool accumulate) {
  check_norm(dqkv, heads, q_gain_k, k_gain_k, raw_qk, rstd);
  for (const Tensor* gain : {&dq_gain_k, &dk_gain_k}) {
    require_dtype(*gain, DType::f32, "gain gradient");
    require_shape(*gain, {heads.head_dim}, "gain gradient");
  }
  by_device(stream, [&] {
    cpu::qk_norm_backward(
        stream, {dqkv, heads, q_gain_k, k_gain_k, raw_qk, rstd, dq_gain_k, dk_gain_k, accumulate});
  });
}

}  // namespace collie::kernels
