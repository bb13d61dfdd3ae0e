#define BOOST_TEST_MODULE rope
#include "kernels/rope.hpp"

#include <boost/test/unit_test.hpp>
#include <complex>

#include "numeric_check.hpp"

using namespace collie;
using namespace collie::kernels;
using namespace collie::numeric_check;

namespace {

constexpr double epsilon = 1e-6;

struct Case {
  std::int64_t tokens;
  HeadShape heads;
  std::int64_t normed() const { return heads.heads + heads.kv_heads; }
};

const std::vector<Case> cases = {
    {1, {1, 1, 2}}, {5, {4, 2, 8}}, {37, {8, 1, 6}}, {70, {2, 2, 64}}, {33, {4, 4, 34}}};

std::vector<double> frequencies(std::int64_t head_dim) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < head_dim / 2; ++i) {
    result.push_back(
        std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim)));
  }
  return result;
}

std::vector<std::int32_t> positions_of(const Case& c) {
  std::vector<std::int32_t> positions;
  for (std::int64_t t = 0; t < c.tokens; ++t) {
    positions.push_back(static_cast<std::int32_t>(t * 7 % 41));
  }
  return positions;
}

// A pair of the two halves is a complex number turned by position * frequency.
Values reference_rope(Values qkv, const Case& c) {
  const auto theta = frequencies(c.heads.head_dim);
  for (std::int64_t t = 0; t < c.tokens; ++t) {
    for (std::int64_t h = 0; h < c.normed(); ++h) {
      double* const head =
          &qkv[static_cast<std::size_t>(t * c.heads.packed_width() + h * c.heads.head_dim)];
      for (std::size_t i = 0; i < theta.size(); ++i) {
        const double angle = positions_of(c)[static_cast<std::size_t>(t)] * theta[i];
        const auto turned =
            std::complex<double>(head[i], head[theta.size() + i]) * std::polar(1.25, angle);
        head[i] = turned.real();
        head[theta.size() + i] = turned.imag();
      }
    }
  }
  return qkv;
}

Tensor rotated(int threads, DType dtype, const Case& c, const Values& values, bool backward) {
  Stream stream(inline_stream(threads));
  Tensor qkv = tensor_of(stream, dtype, {c.tokens, c.heads.packed_width()}, values);
  const RopeTable table =
      make_rope_table(stream.allocator(), frequencies(c.heads.head_dim), 41, 1.25);
  const Tensor positions = ids_of(stream, positions_of(c));
  (backward ? rope_backward : rope_forward)(stream, qkv, c.heads, table, positions);
  return qkv;
}

// qkv, then the gains of q and k.
Values reference_qk_norm(const Values& in, const Case& c) {
  const auto head_dim = static_cast<std::size_t>(c.heads.head_dim);
  const auto width = static_cast<std::size_t>(c.heads.packed_width());
  const std::size_t size = static_cast<std::size_t>(c.tokens) * width;
  Values out(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(size));
  for (std::size_t token = 0; token < size; token += width) {
    for (std::size_t h = 0; h < static_cast<std::size_t>(c.normed()); ++h) {
      const bool query = h < static_cast<std::size_t>(c.heads.heads);
      const double* const gain = &in[size + (query ? 0 : head_dim)];
      double* const head = &out[token + h * head_dim];
      double square = 0;
      for (std::size_t i = 0; i < head_dim; ++i) square += head[i] * head[i];
      const double rstd = 1 / std::sqrt(square / static_cast<double>(head_dim) + epsilon);
      for (std::size_t i = 0; i < head_dim; ++i) head[i] *= rstd * gain[i];
    }
  }
  return out;
}

struct Normed {
  Tensor qkv, raw, rstd, dqkv, dq_gain, dk_gain;
};

Normed run_norm(int threads, DType dtype, const Case& c, const Values& in, const Values& dy) {
  Stream stream(inline_stream(threads));
  const std::int64_t head_dim = c.heads.head_dim;
  const auto size = static_cast<std::ptrdiff_t>(c.tokens * c.heads.packed_width());
  const auto gain = in.begin() + size;
  const Tensor q_gain = tensor_of(stream, dtype, {head_dim}, Values(gain, gain + head_dim));
  const Tensor k_gain = tensor_of(stream, dtype, {head_dim}, Values(gain + head_dim, in.end()));
  const Shape shape{c.tokens, c.heads.packed_width()};
  Normed out{tensor_of(stream, dtype, shape, Values(in.begin(), gain)),
             unwritten(stream, dtype, {c.tokens, c.normed() * head_dim}),
             unwritten(stream, DType::f32, {c.tokens, c.normed()}),
             tensor_of(stream, dtype, shape, dy),
             unwritten(stream, DType::f32, {head_dim}),
             tensor_of(stream, DType::f32, {head_dim}, Values(in.end() - gain - head_dim, 0.0))};
  qk_norm_forward(stream, out.qkv, c.heads, q_gain, k_gain, static_cast<float>(epsilon), out.raw,
                  out.rstd);
  qk_norm_backward(stream, out.dqkv, c.heads, q_gain, k_gain, out.raw, out.rstd, out.dq_gain,
                   out.dk_gain, false);
  // A second time on top of the first doubles the gains' gradients.
  Tensor again = tensor_of(stream, dtype, shape, dy);
  qk_norm_backward(stream, again, c.heads, q_gain, k_gain, out.raw, out.rstd, out.dq_gain,
                   out.dk_gain, true);
  return out;
}

void check_norm(DType dtype, const Case& c, double tolerance) {
  const std::int64_t size = c.tokens * c.heads.packed_width();
  const Values in = rounded(dtype, random_values(size + 2 * c.heads.head_dim, 3));
  const Values dy = rounded(dtype, random_values(size, 4));
  const auto forward = [&](const Values& values) { return reference_qk_norm(values, c); };
  const Normed out = run_norm(1, dtype, c, in, dy);
  BOOST_TEST(relative_error(values_of(out.qkv), forward(in)) < tolerance);
  const auto indices = sample(dy.size(), 100);
  BOOST_TEST(relative_error(pick(values_of(out.dqkv), indices),
                            numeric_gradient(forward, in, dy, indices)) < tolerance);
  std::vector<std::size_t> gains(2 * static_cast<std::size_t>(c.heads.head_dim));
  for (std::size_t i = 0; i < gains.size(); ++i) gains[i] = dy.size() + i;
  Values got = values_of(out.dq_gain);
  const Values dk_gain = values_of(out.dk_gain);
  got.insert(got.end(), dk_gain.begin(), dk_gain.end());
  for (double& value : got) value /= 2;
  BOOST_TEST(relative_error(got, numeric_gradient(forward, in, dy, gains)) < tolerance);
  for (const int threads : {2, 3}) {
    const Normed other = run_norm(threads, dtype, c, in, dy);
    BOOST_TEST(same_bits(out.qkv, other.qkv));
    BOOST_TEST(same_bits(out.dqkv, other.dqkv));
    BOOST_TEST(same_bits(out.dq_gain, other.dq_gain));
    BOOST_TEST(same_bits(out.dk_gain, other.dk_gain));
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(rotation_matches_complex_numbers) {
  for (const Case& c : cases) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      // bf16 rounds every output by up to 2^-9.
      const double tolerance = dtype == DType::f32 ? 1e-6 : 4e-3;
      const Values qkv = rounded(dtype, random_values(c.tokens * c.heads.packed_width(), 1));
      const Tensor out = rotated(1, dtype, c, qkv, false);
      BOOST_TEST(relative_error(values_of(out), reference_rope(qkv, c)) < tolerance);
      BOOST_TEST(same_bits(out, rotated(3, dtype, c, qkv, false)));
    }
  }
}

BOOST_AUTO_TEST_CASE(the_backward_is_the_gradient) {
  for (const Case& c : cases) {
    const Values qkv = random_values(c.tokens * c.heads.packed_width(), 1);
    const Values dy = random_values(c.tokens * c.heads.packed_width(), 2);
    const auto indices = sample(qkv.size(), 50);
    const Values want = numeric_gradient(
        [&](const Values& values) { return reference_rope(values, c); }, qkv, dy, indices);
    const Tensor got = rotated(2, DType::f32, c, dy, true);
    BOOST_TEST(relative_error(pick(values_of(got), indices), want) < 1e-6);
  }
}

BOOST_AUTO_TEST_CASE(qk_norm_float32_matches_the_reference_and_its_gradient) {
  for (const Case& c : cases) check_norm(DType::f32, c, 1e-5);
}

// bf16 rounds every output by up to 2^-9.
BOOST_AUTO_TEST_CASE(qk_norm_bfloat16_matches_within_its_rounding) {
  for (const Case& c : cases) check_norm(DType::bf16, c, 1e-2);
}
