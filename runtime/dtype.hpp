// Element types, their names on disk, and the two half-precision formats as plain bits.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace collie {

enum class DType : std::uint8_t { f32, bf16, f16, f64, i64, i32, i16, i8, u8, boolean };

constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
    case DType::i16:
      return 2;
    case DType::i8:
    case DType::u8:
    case DType::boolean:
      return 1;
  }
  return 0;
}

// Names as safetensors writes them: "F32", "BF16", ...
std::string_view to_string(DType dtype);
std::optional<DType> dtype_from_string(std::string_view name);

struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  // Round to nearest, ties to even; a NaN stays a NaN.
  explicit BFloat16(float value) {
    const auto raw = std::bit_cast<std::uint32_t>(value);
    if ((raw & 0x7fffffffU) > 0x7f800000U) {
      bits = static_cast<std::uint16_t>((raw >> 16) | 0x40U);
    } else {
      bits = static_cast<std::uint16_t>((raw + 0x7fffU + ((raw >> 16) & 1U)) >> 16);
    }
  }
  explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};
static_assert(sizeof(BFloat16) == 2);

// IEEE half precision, for files only; nothing computes in it.
float f16_to_f32(std::uint16_t half);
std::uint16_t f32_to_f16(float value);  // round to nearest even, overflow to infinity

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};

}  // namespace collie
