#define BOOST_TEST_MODULE attention
#include <hwy/targets.h>
#include <boost/test/unit_test.hpp>

#include "attention_check.hpp"

using namespace collie;
using namespace collie::attention_check;

namespace {

void check(const Case& c, DType dtype, double tolerance) {
  const std::int64_t tokens = c.batch * c.sequence;
  const AttentionShape shape = shape_of(c);
  const Values qkv = rounded(dtype, random_values(tokens * shape.heads.packed_width(), 1));
  const Values dcontext = rounded(dtype, random_values(tokens * c.heads * c.head_dim, 2));
  const auto forward = [&](const Values& x) {
    return reference_attention(x, shape, positions_of(c));
  };
  const Outcome out = run(1, dtype, c, qkv, dcontext);
  BOOST_TEST_CONTEXT("S " << c.sequence << " H " << c.heads << ":" << c.kv_heads << " K "
                          << c.head_dim << " window " << c.window << " " << to_string(dtype)) {
    BOOST_TEST(relative_error(values_of(out.context), forward(qkv)) < tolerance);
    const auto indices = sample(qkv.size(), 60);
    const Values want = numeric_gradient(forward, qkv, dcontext, indices);
    BOOST_TEST(relative_error(pick(values_of(out.dqkv), indices), want) < tolerance);
    for (const double value : values_of(out.dqkv)) BOOST_REQUIRE(std::isfinite(value));
    for (const int threads : {2, 3}) {
      const Outcome other = run(threads, dtype, c, qkv, dcontext);
      BOOST_TEST(same_bits(out.context, other.context));
      BOOST_TEST(same_bits(out.lse, other.lse));
      BOOST_TEST(same_bits(out.dqkv, other.dqkv));
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(float32_matches_the_reference_and_its_gradient) {
  for (const Case& c : cases) check(c, DType::f32, 1e-5);
}

// bf16 keeps 8 bits: outputs are rounded by up to 2^-9 each, and the backward reads rounded
// outputs.
BOOST_AUTO_TEST_CASE(bfloat16_matches_within_its_rounding) {
  for (const Case& c : cases) check(c, DType::bf16, 1e-2);
}

BOOST_AUTO_TEST_CASE(lse_is_the_logarithm_of_the_sum) {
  const Case c{1, 3, 1, 1, 8, 0, {}};
  const Values qkv = random_values(3 * 24, 5);
  const Outcome out = run(1, DType::f32, c, qkv, random_values(3 * 8, 6));
  for (std::size_t s = 0; s < 3; ++s) {
    double total = 0;
    for (std::size_t t = 0; t <= s; ++t) {
      double score = 0;
      for (std::size_t i = 0; i < 8; ++i) score += qkv[s * 24 + i] * qkv[t * 24 + 8 + i];
      total += std::exp(score / std::sqrt(8.0));
    }
    BOOST_TEST(std::abs(values_of(out.lse)[s] - std::log(total)) < 1e-6);
  }
}

BOOST_AUTO_TEST_CASE(large_scores_do_not_overflow) {
  const Case c{1, 100, 1, 1, 8, 0, {}};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Values qkv = rounded(dtype, random_values(100 * 24, 7, 10.0));
    const Outcome out = run(1, dtype, c, qkv, random_values(100 * 8, 8));
    const Values want = reference_attention(qkv, shape_of(c), positions_of(c));
    const double tolerance = dtype == DType::f32 ? 1e-4 : 4e-3;
    BOOST_TEST(relative_error(values_of(out.context), want) < tolerance);
  }
}

BOOST_AUTO_TEST_CASE(a_nan_is_not_hidden) {
  const Case c{1, 70, 1, 1, 8, 0, {}};
  Values qkv = random_values(70 * 24, 9);
  qkv[69 * 24] = NAN;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Outcome out = run(1, dtype, c, qkv, random_values(70 * 8, 10));
    BOOST_TEST(std::isnan(values_of(out.context)[69 * 8]));
    BOOST_TEST(std::isfinite(values_of(out.context)[68 * 8]));
  }
}

// Processors without AVX-512 take the f32 form, which is a little closer to the reference.
BOOST_AUTO_TEST_CASE(bfloat16_without_dot_products_matches_too) {
  const Case c{2, 150, 4, 2, 16, 0, {70, 80}};
  const std::int64_t best = hwy::SupportedTargets();
  hwy::SetSupportedTargetsForTest(best & ~(HWY_AVX3 | HWY_AVX3_DL));
  hwy::GetChosenTarget().DeInit();
  check(c, DType::bf16, 1e-2);
  const Values qkv = rounded(DType::bf16, random_values(300 * 8 * 16, 3));
  const Values dcontext = rounded(DType::bf16, random_values(300 * 4 * 16, 4));
  const Outcome without = run(1, DType::bf16, c, qkv, dcontext);
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
  const Outcome with = run(1, DType::bf16, c, qkv, dcontext);
  BOOST_TEST(relative_error(values_of(without.dqkv), values_of(with.dqkv)) < 1e-2);
}

namespace {

// Feeds a sequence through the cache in pieces of the given lengths.
Values through_cache(int threads, DType dtype, const Case& c, const Values& qkv_values,
                     const std::vector<std::int64_t>& pieces) {
  Stream stream(inline_stream(threads));
  const AttentionShape shape = shape_of(c);
  const Tensor qkv = tensor_of(stream, dtype, {c.sequence, shape.heads.packed_width()}, qkv_values);
  Tensor cache = unwritten(stream, dtype, {c.sequence + 3, 2 * c.kv_heads * c.head_dim});
  Tensor context = unwritten(stream, dtype, {c.sequence, c.heads * c.head_dim});
  std::int64_t length = 0;
  for (const std::int64_t piece : pieces) {
    Tensor rows = context.rows(length, length + piece);
    attention_with_cache(stream, qkv.rows(length, length + piece), shape, cache, length, rows);
    length += piece;
  }
  BOOST_REQUIRE(length == c.sequence);
  return values_of(context);
}

}  // namespace

BOOST_AUTO_TEST_CASE(decoding_equals_the_full_forward) {
  for (const std::int64_t window : {0, 33}) {
    const Case c{1, 600, 4, 2, 10, window, {}};
    std::vector<std::int64_t> one_by_one{100, 5, 70};
    one_by_one.resize(3 + 425, 1);
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Values qkv = rounded(dtype, random_values(c.sequence * 80, 11));
      const Values want = reference_attention(qkv, shape_of(c), positions_of(c));
      const double tolerance = dtype == DType::f32 ? 1e-6 : 4e-3;
      const Values got = through_cache(1, dtype, c, qkv, one_by_one);
      BOOST_TEST(relative_error(got, want) < tolerance);
      BOOST_TEST((got == through_cache(3, dtype, c, qkv, one_by_one)));
      BOOST_TEST(relative_error(through_cache(1, dtype, c, qkv, {1, 599}), want) < tolerance);
    }
  }
}
