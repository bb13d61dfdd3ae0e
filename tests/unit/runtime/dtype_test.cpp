#define BOOST_TEST_MODULE dtype
#include "runtime/dtype.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

using namespace collie;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::uint16_t bf16(float value) {
  return BFloat16(value).bits;
}

}  // namespace

BOOST_AUTO_TEST_CASE(names_and_sizes) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64, DType::i64, DType::i32,
                            DType::i16, DType::i8, DType::u8, DType::boolean}) {
    BOOST_CHECK(dtype_from_string(to_string(dtype)) == dtype);
  }
  BOOST_TEST(to_string(DType::bf16) == "BF16");
  BOOST_TEST(to_string(DType::boolean) == "BOOL");
  BOOST_TEST(!dtype_from_string("f32").has_value());
  BOOST_TEST(size_of(DType::f64) == 8u);
  BOOST_TEST(size_of(DType::bf16) == 2u);
  BOOST_TEST(size_of(DType::boolean) == 1u);
}

// Expected bits: torch.tensor(x).to(torch.bfloat16).view(torch.int16).
BOOST_AUTO_TEST_CASE(bfloat16_rounds_to_nearest_even) {
  BOOST_TEST(bf16(1.0F) == 0x3f80);
  BOOST_TEST(bf16(-2.5F) == 0xc020);
  BOOST_TEST(bf16(0x1.01p0F) == 0x3f80);      // a tie goes to the even one below
  BOOST_TEST(bf16(0x1.03p0F) == 0x3f82);      // and above
  BOOST_TEST(bf16(0x1.010002p0F) == 0x3f81);  // more than a tie
  BOOST_TEST(bf16(3.4028235e38F) == 0x7f80);  // the largest float rounds to infinity
  BOOST_TEST(bf16(-infinity) == 0xff80);
  BOOST_TEST(bf16(-0.0F) == 0x8000);
  BOOST_CHECK(std::isnan(static_cast<float>(BFloat16(std::nanf("")))));
  // A NaN whose mantissa is all in the low bits must not become infinity.
  BOOST_CHECK(std::isnan(static_cast<float>(BFloat16(std::bit_cast<float>(0x7f800001U)))));
}

BOOST_AUTO_TEST_CASE(bfloat16_survives_float) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    BFloat16 value;
    value.bits = static_cast<std::uint16_t>(bits);
    const auto wide = static_cast<float>(value);
    if (!std::isnan(wide)) BOOST_REQUIRE_EQUAL(BFloat16(wide).bits, bits);
  }
}

BOOST_AUTO_TEST_CASE(half_precision_survives_float) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const float wide = f16_to_f32(static_cast<std::uint16_t>(bits));
    if (!std::isnan(wide)) BOOST_REQUIRE_EQUAL(f32_to_f16(wide), bits);
  }
}

#if defined(__FLT16_MAX__)
// The compiler's own _Float16 is the reference: all halves, and floats around every rounding step.
BOOST_AUTO_TEST_CASE(half_precision_agrees_with_the_compiler) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto half = std::bit_cast<_Float16>(static_cast<std::uint16_t>(bits));
    const float wide = f16_to_f32(static_cast<std::uint16_t>(bits));
    if (std::isnan(wide)) continue;
    BOOST_REQUIRE_EQUAL(std::bit_cast<std::uint32_t>(wide),
                        std::bit_cast<std::uint32_t>(static_cast<float>(half)));
  }
  for (std::uint64_t raw = 0; raw < 0x100000000ULL; raw += 4001) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(raw));
    if (std::isnan(value)) continue;
    const auto expected = std::bit_cast<std::uint16_t>(static_cast<_Float16>(value));
    BOOST_REQUIRE_EQUAL(f32_to_f16(value), expected);
  }
}
#endif

BOOST_AUTO_TEST_CASE(half_precision_edges) {
  BOOST_TEST(f32_to_f16(1.0F) == 0x3c00);
  BOOST_TEST(f32_to_f16(65504.0F) == 0x7bff);
  BOOST_TEST(f32_to_f16(65519.0F) == 0x7bff);
  BOOST_TEST(f32_to_f16(65520.0F) == 0x7c00);
  BOOST_TEST(f32_to_f16(0x1p-24F) == 0x0001);
  BOOST_TEST(f32_to_f16(0x1p-25F) == 0x0000);  // a tie goes to even
  BOOST_TEST(f32_to_f16(0x1.8p-24F) == 0x0002);
  BOOST_TEST(f32_to_f16(-infinity) == 0xfc00);
  BOOST_CHECK(std::isnan(f16_to_f32(f32_to_f16(std::nanf("")))));
}
