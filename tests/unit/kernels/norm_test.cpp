#define BOOST_TEST_MODULE norm
#include "kernels/norm.hpp"

#include <boost/test/unit_test.hpp>

#include "numeric_check.hpp"

using namespace collie;
using namespace collie::kernels;
using namespace collie::numeric_check;

namespace {

constexpr double epsilon = 1e-5;

struct Case {
  std::int64_t tokens, hidden;
  bool layer_norm, residual, bias;
};

// In double, for h[T, D], gain[D], bias[D] in one vector, in this order.
Values reference_norm(const Values& in, const Case& c) {
  const auto hidden = static_cast<std::size_t>(c.hidden);
  const auto size = static_cast<std::size_t>(c.tokens) * hidden;
  Values y(size);
  for (std::size_t row = 0; row < size; row += hidden) {
    double mean = 0;
    double square = 0;
    for (std::size_t i = 0; i < hidden; ++i) mean += in[row + i] / static_cast<double>(c.hidden);
    if (!c.layer_norm) mean = 0;
    for (std::size_t i = 0; i < hidden; ++i) {
      square += (in[row + i] - mean) * (in[row + i] - mean) / static_cast<double>(c.hidden);
    }
    for (std::size_t i = 0; i < hidden; ++i) {
      const double bias = c.bias ? in[size + hidden + i] : 0.0;
      y[row + i] = (in[row + i] - mean) / std::sqrt(square + epsilon) * in[size + i] + bias;
    }
  }
  return y;
}

struct Data {
  Values x, delta, gain, bias, dy, dresidual;
  Values h(DType dtype, const Case& c) const {
    if (!c.residual) return x;
    Values sum = x;
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += delta[i];
    return rounded(dtype, sum);
  }
};

Data make_data(DType dtype, const Case& c) {
  const std::int64_t size = c.tokens * c.hidden;
  Values x = random_values(size, 1);
  for (double& value : x) value += 3;  // a mean that matters
  return {rounded(dtype, x),
          rounded(dtype, random_values(size, 2)),
          rounded(dtype, random_values(c.hidden, 3)),
          rounded(dtype, random_values(c.hidden, 4)),
          rounded(dtype, random_values(size, 5)),
          rounded(dtype, random_values(size, 6))};
}

struct Outcome {
  Tensor h, y, rstd, mean, dx, dgain, dbias;
};

Outcome run(int threads, DType dtype, const Case& c, const Data& data) {
  Stream stream(inline_stream(threads));
  const Shape shape{c.tokens, c.hidden};
  const Tensor x = tensor_of(stream, dtype, shape, data.x);
  const Tensor gain = tensor_of(stream, dtype, {c.hidden}, data.gain);
  const Tensor dy = tensor_of(stream, dtype, shape, data.dy);
  Tensor delta, bias;
  Outcome out;
  if (c.residual) {
    delta = tensor_of(stream, dtype, shape, data.delta);
    out.h = unwritten(stream, dtype, shape);
  }
  if (c.bias) {
    bias = tensor_of(stream, dtype, {c.hidden}, data.bias);
    out.dbias = tensor_of(stream, DType::f32, {c.hidden}, Values(data.gain.size(), 0.5));
  }
  out.y = unwritten(stream, dtype, shape);
  out.rstd = unwritten(stream, DType::f32, {c.tokens});
  if (c.layer_norm) out.mean = unwritten(stream, DType::f32, {c.tokens});
  norm_forward(stream, x, delta, gain, bias, static_cast<float>(epsilon), out.h, out.y, out.rstd,
               out.mean);
  // In place over the residual's gradient, and on top of an earlier gradient of the parameters.
  out.dx = tensor_of(stream, dtype, shape, data.dresidual);
  out.dgain = tensor_of(stream, DType::f32, {c.hidden}, Values(data.gain.size(), 0.5));
  norm_backward(stream, dy, c.residual ? out.h : x, gain, out.rstd, out.mean, out.dx, out.dx,
                out.dgain, out.dbias, true);
  return out;
}

Values plus(Values a, const Values& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

void check_gradient(const Outcome& out, const Case& c, const Data& data, const Values& in,
                    double tolerance) {
  const auto forward = [&](const Values& values) { return reference_norm(values, c); };
  const auto indices = sample(data.x.size(), 80);
  const Values dh = numeric_gradient(forward, in, data.dy, indices);
  BOOST_TEST(relative_error(pick(values_of(out.dx), indices),
                            plus(dh, pick(data.dresidual, indices))) < tolerance);
  for (const bool bias : {false, true}) {
    if (bias && !c.bias) continue;
    std::vector<std::size_t> parameters;
    for (std::size_t i = 0; i < data.gain.size(); i += 7) {
      parameters.push_back(data.x.size() + (bias ? data.gain.size() : 0) + i);
    }
    const Values want =
        plus(numeric_gradient(forward, in, data.dy, parameters), Values(parameters.size(), 0.5));
    Values got;
    for (std::size_t i = 0; i < data.gain.size(); i += 7) {
      got.push_back(values_of(bias ? out.dbias : out.dgain)[i]);
    }
    BOOST_TEST(relative_error(got, want) < tolerance);
  }
}

void check(DType dtype, const Case& c, double tolerance) {
  BOOST_TEST_CONTEXT("T " << c.tokens << " D " << c.hidden << " layer norm " << c.layer_norm) {
    const Data data = make_data(dtype, c);
    Values in = data.h(dtype, c);
    in.insert(in.end(), data.gain.begin(), data.gain.end());
    in.insert(in.end(), data.bias.begin(), data.bias.end());
    const Outcome out = run(1, dtype, c, data);
    if (c.residual) BOOST_TEST((values_of(out.h) == data.h(dtype, c)));
    BOOST_TEST(relative_error(values_of(out.y), reference_norm(in, c)) < tolerance / 10);
    check_gradient(out, c, data, in, tolerance);
    for (const int threads : {2, 3}) {
      const Outcome other = run(threads, dtype, c, data);
      BOOST_TEST(same_bits(out.y, other.y));
      BOOST_TEST(same_bits(out.rstd, other.rstd));
      BOOST_TEST(same_bits(out.dx, other.dx));
      BOOST_TEST(same_bits(out.dgain, other.dgain));
      if (c.bias) BOOST_TEST(same_bits(out.dbias, other.dbias));
    }
  }
}

const std::vector<Case> cases = {
    {1, 1, false, false, false}, {3, 16, true, true, true},    {40, 70, false, true, false},
    {70, 64, true, true, true},  {33, 131, true, false, true}, {100, 200, false, false, true},
    {5, 48, true, true, false},
};

}  // namespace

BOOST_AUTO_TEST_CASE(float32_matches_the_reference_and_its_gradient) {
  for (const Case& c : cases) check(DType::f32, c, 1e-5);
}

// bf16 rounds every output by up to 2^-9.
BOOST_AUTO_TEST_CASE(bfloat16_matches_within_its_rounding) {
  for (const Case& c : cases) check(DType::bf16, c, 3e-2);
}

BOOST_AUTO_TEST_CASE(gradients_are_set_without_accumulation) {
  Stream stream(inline_stream(1));
  const Case c{40, 24, true, false, true};
  const Data data = make_data(DType::f32, c);
  const Outcome added = run(1, DType::f32, c, data);
  Tensor dx = unwritten(stream, DType::f32, {40, 24});
  Tensor dgain = unwritten(stream, DType::f32, {24});
  Tensor dbias = unwritten(stream, DType::f32, {24});
  norm_backward(stream, tensor_of(stream, DType::f32, {40, 24}, data.dy),
                tensor_of(stream, DType::f32, {40, 24}, data.x),
                tensor_of(stream, DType::f32, {24}, data.gain), added.rstd, added.mean, Tensor(),
                dx, dgain, dbias, false);
  const Values half(24, 0.5);
  BOOST_TEST(relative_error(plus(values_of(dgain), half), values_of(added.dgain)) < 1e-6);
  BOOST_TEST(relative_error(plus(values_of(dbias), half), values_of(added.dbias)) < 1e-6);
  BOOST_TEST(relative_error(plus(values_of(dx), data.dresidual), values_of(added.dx)) < 1e-6);
}
