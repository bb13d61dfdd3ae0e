// What every operator does before its arithmetic: check its operands, pick the device, cut the
// work.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "runtime/stream.hpp"

namespace collie::kernels {

// The one place where operators choose their implementation by device.
template <class Cpu>
std::invoke_result_t<Cpu> by_device(const Stream& stream, Cpu&& cpu) {
  if (stream.device().kind == DeviceKind::meta) return std::invoke_result_t<Cpu>();
  COLLIE_CHECK(stream.device().kind == DeviceKind::cpu, "no kernels for {}",
               describe(stream.device()));
  return std::forward<Cpu>(cpu)();
}

inline bool is_compute_dtype(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16;
}

// Operand checks: a wrong shape or dtype is a programmer's error that names the operand.
void require_compute(const Tensor& tensor, const char* name);  // f32 or bf16
void require_dtype(const Tensor& tensor, DType dtype, const char* name);
void require_shape(const Tensor& tensor, const Shape& shape, const char* name);
void require_same(const Tensor& a, const Tensor& b, const char* names);  // shape and dtype

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// Calls body(begin, end, lane) for consecutive pieces of [0, count), each `tile` long but the last.
// The cut depends on nothing but the arguments, so results do not depend on the threads.
template <class Body>
void for_tiles(Stream& stream, std::int64_t count, std::int64_t tile, const Body& body) {
  stream.parallel_for(ceil_div(count, tile), [&](std::int64_t index, int lane) {
    body(index * tile, std::min(count, (index + 1) * tile), lane);
  });
}

// Elements of a flat element-wise pass that one task handles: 64 KiB of f32 per operand.
inline constexpr std::int64_t flat_tile = 16 * 1024;

}  // namespace collie::kernels
