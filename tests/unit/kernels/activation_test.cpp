#define BOOST_TEST_MODULE activation
#include "kernels/activation.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>

#include "numeric_check.hpp"

using namespace collie;
using namespace collie::kernels;
using namespace collie::numeric_check;

namespace {

double reference_gelu(Gelu kind, double x) {
  if (kind == Gelu::erf) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

double reference_silu(double x) {
  return x / (1 + std::exp(-x));
}

// gate_up[T, 2F] -> y[T, F]
Values reference_swiglu(const Values& gate_up, std::size_t width) {
  Values y;
  for (std::size_t row = 0; row < gate_up.size(); row += 2 * width) {
    for (std::size_t i = row; i < row + width; ++i) {
      y.push_back(reference_silu(gate_up[i]) * gate_up[i + width]);
    }
  }
  return y;
}

// Every 2^-8 from -12 to 12.
Values grid() {
  Values values;
  for (int i = -12 * 256; i <= 12 * 256; ++i) values.push_back(i / 256.0);
  return values;
}

struct Pair {
  Tensor y, dx;
};

Pair run_gelu(int threads, DType dtype, Gelu kind, const Values& x_values, const Values& dy) {
  Stream stream(inline_stream(threads));
  const Shape shape{static_cast<std::int64_t>(x_values.size())};
  const Tensor x = tensor_of(stream, dtype, shape, x_values);
  Pair out{unwritten(stream, dtype, shape), unwritten(stream, dtype, shape)};
  gelu_forward(stream, kind, x, out.y);
  gelu_backward(stream, kind, tensor_of(stream, dtype, shape, dy), x, out.dx);
  return out;
}

Pair run_swiglu(int threads, DType dtype, const Values& gate_up_values, const Values& dy,
                std::int64_t width) {
  Stream stream(inline_stream(threads));
  const std::int64_t tokens = static_cast<std::int64_t>(dy.size()) / width;
  const Tensor gate_up = tensor_of(stream, dtype, {tokens, 2 * width}, gate_up_values);
  Pair out{unwritten(stream, dtype, {tokens, width}), unwritten(stream, dtype, gate_up.shape())};
  swiglu_forward(stream, gate_up, out.y);
  swiglu_backward(stream, tensor_of(stream, dtype, {tokens, width}, dy), gate_up, out.dx);
  return out;
}

double largest_error(const Values& got, const Values& want, double floor) {
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(got[i] - want[i]) / std::max(std::abs(want[i]), floor);
    if (!(error <= largest)) largest = error;
  }
  return largest;
}

}  // namespace

BOOST_AUTO_TEST_CASE(gelu_is_exact_to_single_precision) {
  const Values x = grid();
  for (const Gelu kind : {Gelu::tanh, Gelu::erf}) {
    Values want, slope;
    for (const double value : x) {
      want.push_back(reference_gelu(kind, value));
      slope.push_back((reference_gelu(kind, value + 1e-5) - reference_gelu(kind, value - 1e-5)) /
                      2e-5);
    }
    const Pair out = run_gelu(1, DType::f32, kind, x, Values(x.size(), 1.0));
    // Five units in the last place, absolute below 0.1: there the rounding of the exponent's
    // argument shows.
    BOOST_TEST(largest_error(values_of(out.y), want, 0.1) < 6e-7);
    BOOST_TEST(largest_error(values_of(out.dx), slope, 0.1) < 1e-6);
  }
}

BOOST_AUTO_TEST_CASE(silu_is_exact_to_single_precision) {
  const Values x = grid();
  Values gate_up = x;
  gate_up.insert(gate_up.end(), x.size(), 1.0);
  const auto width = static_cast<std::int64_t>(x.size());
  const Pair out = run_swiglu(1, DType::f32, gate_up, Values(x.size(), 1.0), width);
  Values want;
  for (const double value : x) want.push_back(reference_silu(value));
  BOOST_TEST(largest_error(values_of(out.y), want, 1e-9) < 4e-7);
}

BOOST_AUTO_TEST_CASE(gelu_gradient_and_threads) {
  for (const Gelu kind : {Gelu::tanh, Gelu::erf}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      // bf16 rounds every output by up to 2^-9.
      const double tolerance = dtype == DType::f32 ? 1e-5 : 4e-3;
      const Values x = rounded(dtype, random_values(40'003, 1, 2.0));
      const Values dy = rounded(dtype, random_values(40'003, 2));
      const auto forward = [&](const Values& values) {
        Values y;
        for (const double value : values) y.push_back(reference_gelu(kind, value));
        return y;
      };
      const Pair out = run_gelu(1, dtype, kind, x, dy);
      BOOST_TEST(relative_error(values_of(out.y), forward(x)) < tolerance);
      const auto indices = sample(x.size(), 60);
      BOOST_TEST(relative_error(pick(values_of(out.dx), indices),
                                numeric_gradient(forward, x, dy, indices)) < tolerance);
      for (const int threads : {2, 3}) {
        const Pair other = run_gelu(threads, dtype, kind, x, dy);
        BOOST_TEST(same_bits(out.y, other.y));
        BOOST_TEST(same_bits(out.dx, other.dx));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(swiglu_gradient_and_threads) {
  for (const std::int64_t width : {1, 13, 64, 700}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      // bf16 rounds every output by up to 2^-9.
      const double tolerance = dtype == DType::f32 ? 1e-5 : 4e-3;
      const Values gate_up = rounded(dtype, random_values(2 * 57 * width, 3, 2.0));
      const Values dy = rounded(dtype, random_values(57 * width, 4));
      const auto forward = [&](const Values& values) {
        return reference_swiglu(values, static_cast<std::size_t>(width));
      };
      const Pair out = run_swiglu(1, dtype, gate_up, dy, width);
      BOOST_TEST(relative_error(values_of(out.y), forward(gate_up)) < tolerance);
      const auto indices = sample(gate_up.size(), 60);
      BOOST_TEST(relative_error(pick(values_of(out.dx), indices),
                                numeric_gradient(forward, gate_up, dy, indices)) < tolerance);
      for (const int threads : {2, 3}) {
        const Pair other = run_swiglu(threads, dtype, gate_up, dy, width);
        BOOST_TEST(same_bits(out.y, other.y));
        BOOST_TEST(same_bits(out.dx, other.dx));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(extremes_stay_finite_and_a_nan_passes) {
  const Values x = {-1e20, -1000, -90, -30, 0, 30, 90, 1000, 1e20, NAN};
  for (const Gelu kind : {Gelu::tanh, Gelu::erf}) {
    const Pair out = run_gelu(1, DType::f32, kind, x, Values(x.size(), 1.0));
    const Values y = values_of(out.y);
    const Values dx = values_of(out.dx);
    for (std::size_t i = 0; i < 4; ++i) BOOST_TEST(std::abs(y[i]) < 1e-15);
    for (std::size_t i = 0; i < 4; ++i) BOOST_TEST(std::abs(dx[i]) < 1e-15);
    for (std::size_t i = 5; i < 9; ++i) {
      BOOST_TEST(y[i] == rounded(DType::f32, {x[i]})[0]);
      BOOST_TEST(dx[i] == 1);
    }
    BOOST_TEST(std::isnan(y[9]));
    BOOST_TEST(std::isnan(dx[9]));
  }
}
