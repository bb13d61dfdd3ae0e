#define BOOST_TEST_MODULE elementwise
#include "kernels/elementwise.hpp"

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>

#include "kernel_test.hpp"
#include "kernels/elementwise_philox.hpp"

namespace collie::kernels {
namespace {

using namespace collie::testing;

constexpr std::array<std::int64_t, 6> counts{1, 15, 16, 17, 1000, 50'021};
constexpr std::array<DType, 2> dtypes{DType::f32, DType::bf16};

Values rounded(DType dtype, const Values& values) {
  Values result;
  for (const double value : values) {
    const auto narrow = static_cast<float>(value);
    result.push_back(dtype == DType::f32 ? double{narrow}
                                         : double{static_cast<float>(BFloat16(narrow))});
  }
  return result;
}

void expect_equal(const Tensor& tensor, const Values& expected) {
  const Values got = to_values(tensor);
  BOOST_REQUIRE(got.size() == expected.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < got.size(); ++i) wrong += got[i] != expected[i];
  BOOST_TEST(wrong == 0U);
}

BOOST_AUTO_TEST_CASE(casts_round_like_the_scalar_type) {
  on_stream(2, [](Stream& stream) {
    for (const std::int64_t count : counts) {
      const Tensor wide = random_tensor(stream, DType::f32, {count}, 1);
      Tensor narrow = stream.allocate(DType::bf16, {count});
      cast(stream, wide, narrow);
      expect_equal(narrow, rounded(DType::bf16, to_values(wide)));
      Tensor back = stream.allocate(DType::f32, {count});
      cast(stream, narrow, back);
      expect_equal(back, to_values(narrow));
      Tensor copy = stream.allocate(DType::bf16, {count});
      cast(stream, narrow, copy);
      BOOST_TEST(same_bytes(copy, narrow));
    }
  });
}

BOOST_AUTO_TEST_CASE(casts_of_special_values) {
  on_stream(1, [](Stream& stream) {
    // Ties to even both ways, overflow to infinity, denormals, infinities and NaN.
    const std::vector<std::uint32_t> bits{0x3f808000, 0x3f818000, 0x3f808001, 0x7f7fffff,
                                          0x00000001, 0x00018000, 0x80000000, 0x7f800000,
                                          0xff800000, 0x7f800001, 0xffffffff, 0x7fc00000};
    Tensor wide = stream.allocate(DType::f32, {static_cast<std::int64_t>(bits.size())});
    std::memcpy(wide.mutable_raw(), bits.data(), wide.size_bytes());
    Tensor narrow = stream.allocate(DType::bf16, wide.shape());
    cast(stream, wide, narrow);
    const std::vector<std::uint16_t> expected{0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x0000, 0x0002,
                                              0x8000, 0x7f80, 0xff80, 0x7fc0, 0xffff, 0x7fc0};
    for (std::size_t i = 0; i < bits.size(); ++i) {
      BOOST_TEST(narrow.data<BFloat16>()[i].bits == expected[i]);
    }
  });
}

BOOST_AUTO_TEST_CASE(scale_zero_and_bias) {
  on_stream(2, [](Stream& stream) {
    for (const DType dtype : dtypes) {
      for (const std::int64_t width : {1, 7, 16, 33, 20'001}) {
        Tensor x = random_tensor(stream, dtype, {3, width}, 2);
        const Tensor bias = random_tensor(stream, dtype, {width}, 3);
        Values expected = to_values(x);
        const Values biases = to_values(bias);
        for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += biases[i % biases.size()];
        add_bias(stream, x, bias);
        expect_equal(x, rounded(dtype, expected));
        for (double& value : expected = to_values(x)) value *= 0.375;
        scale(stream, x, 0.375F);
        expect_equal(x, rounded(dtype, expected));
        fill_zero(stream, x);
        expect_equal(x, Values(expected.size(), 0.0));
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(sums_go_in_order_and_round_once) {
  on_stream(2, [](Stream& stream) {
    for (const DType dtype : dtypes) {
      for (const std::int64_t count : counts) {
        std::vector<Tensor> parts;
        for (unsigned p = 0; p < 4; ++p) {
          parts.push_back(random_tensor(stream, p == 3 ? DType::f32 : dtype, {count}, 10 + p));
        }
        std::vector<float> sums(static_cast<std::size_t>(count), 0.0F);
        for (const Tensor& part : parts) {
          const Values values = to_values(part);
          for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<float>(values[i]);
        }
        const Values expected = rounded(dtype, Values(sums.begin(), sums.end()));
        Tensor out = stream.allocate(dtype, {count});
        sum_in_order(stream, parts, out);
        expect_equal(out, expected);
        sum_in_order(stream, parts, parts[1]);  // in place
        expect_equal(parts[1], expected);
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(add_may_write_to_an_operand) {
  on_stream(1, [](Stream& stream) {
    Tensor a = make_tensor(stream, DType::bf16, {3}, {1.0, 2.0, 256.0});
    const Tensor b = make_tensor(stream, DType::bf16, {3}, {0.5, -2.0, 1.0});
    add(stream, a, b, a);
    expect_equal(a, {1.5, 0.0, 256.0});
  });
}

BOOST_AUTO_TEST_CASE(sum_of_squares_is_a_double) {
  double one = 0.0;
  for (const int threads : {1, 2, 3}) {
    on_stream(threads, [&](Stream& stream) {
      const Tensor x = random_tensor(stream, DType::f32, {300'007}, 4);
      double expected = 0.0;
      for (const double value : to_values(x)) expected += value * value;
      const double got = sum_of_squares(stream, x);
      BOOST_TEST(got == expected, boost::test_tools::tolerance(1e-12));
      if (threads == 1) one = got;
      BOOST_TEST(got == one, boost::test_tools::tolerance(0.0));
    });
  }
  on_stream(1, [](Stream& stream) {
    // Float32 sums would lose the small value.
    const Tensor x = make_tensor(stream, DType::f32, {3}, {4096.0, 0.5, 0.0});
    BOOST_TEST(sum_of_squares(stream, x) == 16'777'216.25);
  });
}

// The known-answer vectors that come with Random123 (tests/kat_vectors, philox4x32 10).
BOOST_AUTO_TEST_CASE(philox_known_answers) {
  const auto check = [](PhiloxCounter counter, PhiloxKey key, const PhiloxCounter& expected) {
    const PhiloxCounter got = philox_4x32_10(counter, key);
    BOOST_TEST(got == expected, boost::test_tools::per_element());
  };
  check({0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  check({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
        {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  check({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

BOOST_AUTO_TEST_CASE(any_slice_of_normals_is_the_same) {
  for (const int threads : {1, 3}) {
    on_stream(threads, [](Stream& stream) {
      Tensor whole = stream.allocate(DType::f32, {40'000});
      fill_normal(stream, whole, 0.02F, 42, 7, 0);
      for (const auto& [begin, end] :
           std::vector<std::array<std::int64_t, 2>>{{0, 1}, {1, 2}, {3, 70}, {16'383, 39'998}}) {
        Tensor part = stream.allocate(DType::f32, {end - begin});
        fill_normal(stream, part, 0.02F, 42, 7, begin);
        BOOST_TEST(same_bytes(part, whole.rows(begin, end)));
      }
      Tensor narrow = stream.allocate(DType::bf16, {40'000});
      fill_normal(stream, narrow, 0.02F, 42, 7, 0);
      expect_equal(narrow, rounded(DType::bf16, to_values(whole)));
    });
  }
}

BOOST_AUTO_TEST_CASE(normals_are_normal) {
  on_stream(2, [](Stream& stream) {
    constexpr std::int64_t count = 1'000'000;
    Tensor x = stream.allocate(DType::f32, {count});
    Tensor other = stream.allocate(DType::f32, {count});
    fill_normal(stream, x, 2.0F, 1, 0, std::int64_t{1} << 40);
    fill_normal(stream, other, 2.0F, 1, 1, std::int64_t{1} << 40);
    std::array<double, 5> moments{};  // of x / 2; the last is its product with `other`
    const Values xs = to_values(x);
    const Values others = to_values(other);
    for (std::size_t i = 0; i < xs.size(); ++i) {
      const double z = xs[i] / 2.0;
      double power = 1.0;
      for (std::size_t k = 0; k < 4; ++k) moments[k] += (power *= z) / count;
      moments[4] += z * others[i] / 2.0 / count;
    }
    const std::array<double, 5> expected{0.0, 1.0, 0.0, 3.0, 0.0};
    const std::array<double, 5> variances{1.0, 2.0, 15.0, 96.0, 1.0};
    for (std::size_t k = 0; k < 5; ++k) {
      BOOST_TEST(std::abs(moments[k] - expected[k]) < 5.0 * std::sqrt(variances[k] / count));
    }
  });
}

}  // namespace
}  // namespace collie::kernels
