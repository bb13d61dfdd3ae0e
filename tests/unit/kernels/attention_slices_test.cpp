// Slices of rows, forwards up and backwards down, against the textbook form of whole rows.
#define BOOST_TEST_MODULE attention_slices
#include <hwy/targets.h>
#include <boost/test/unit_test.hpp>

#include "attention_check.hpp"
#include "kernels/sequence_slice.hpp"

using namespace collie;
using namespace collie::attention_check;

namespace {

// Columns of tokens [begin, end) of each row.
template <class T>
std::vector<T> part_of(const std::vector<T>& whole, const Case& c, std::int64_t begin,
                       std::int64_t end) {
  const std::int64_t width = static_cast<std::int64_t>(whole.size()) / (c.batch * c.sequence);
  std::vector<T> part;
  for (std::int64_t row = 0; row < c.batch; ++row) {
    const auto first = whole.begin() + (row * c.sequence + begin) * width;
    part.insert(part.end(), first, first + (end - begin) * width);
  }
  return part;
}

void put_part(const Values& part, const Case& c, std::int64_t begin, std::int64_t end,
              Values& whole) {
  const std::int64_t width = static_cast<std::int64_t>(whole.size()) / (c.batch * c.sequence);
  for (std::int64_t row = 0; row < c.batch; ++row) {
    const auto first = part.begin() + row * (end - begin) * width;
    std::copy(first, first + (end - begin) * width,
              whole.begin() + (row * c.sequence + begin) * width);
  }
}

struct Slice {
  std::int64_t begin, end;
  Tensor qkv, positions, context, lse, dqkv;
};

struct Whole {
  Values context, dqkv;
};

// bounds: where slices begin, then the end of the rows.
Whole run_slices(int threads, DType dtype, const Case& c, const Values& qkv, const Values& dcontext,
                 const std::vector<std::int64_t>& bounds) {
  Stream stream(inline_stream(threads));
  AttentionShape shape = shape_of(c);
  const Shape kv_shape{c.batch * c.sequence, 2 * c.kv_heads * c.head_dim};
  Tensor kv = unwritten(stream, dtype, kv_shape);
  Tensor dkv = unwritten(stream, DType::f32, kv_shape);
  Whole out{Values(static_cast<std::size_t>(c.batch * c.sequence * c.heads * c.head_dim)),
            Values(qkv.size())};
  std::vector<Slice> slices;
  for (std::size_t k = 0; k + 1 < bounds.size(); ++k) {
    Slice& s = slices.emplace_back(Slice{bounds[k], bounds[k + 1], {}, {}, {}, {}, {}});
    shape.sequence = s.end - s.begin;
    const std::int64_t tokens = c.batch * shape.sequence;
    s.qkv = tensor_of(stream, dtype, {tokens, shape.heads.packed_width()},
                      part_of(qkv, c, s.begin, s.end));
    s.positions = ids_of(stream, part_of(positions_of(c), c, s.begin, s.end));
    s.context = unwritten(stream, dtype, {tokens, c.heads * c.head_dim});
    s.lse = unwritten(stream, DType::f32, {c.batch, c.heads, shape.sequence});
    attention_slice_forward(stream, s.qkv, shape, s.begin, s.positions, kv, s.context, s.lse);
    put_part(values_of(s.context), c, s.begin, s.end, out.context);
  }
  for (std::size_t k = slices.size(); k-- > 0;) {
    Slice& s = slices[k];
    shape.sequence = s.end - s.begin;
    const Tensor upstream =
        tensor_of(stream, dtype, s.context.shape(), part_of(dcontext, c, s.begin, s.end));
    s.dqkv = unwritten(stream, dtype, s.qkv.shape());
    attention_slice_backward(stream, upstream, s.qkv, s.context, s.lse, shape, s.begin, s.positions,
                             kv, dkv, s.dqkv);
    put_part(values_of(s.dqkv), c, s.begin, s.end, out.dqkv);
  }
  return out;
}

std::vector<std::int64_t> even_bounds(const Case& c, std::int64_t count) {
  std::vector<std::int64_t> bounds;
  for (std::int64_t k = 0; k <= count; ++k) bounds.push_back(c.sequence * k / count);
  return bounds;
}

void check_slices(const Case& c, DType dtype, const std::vector<std::int64_t>& bounds,
                  double tolerance) {
  const std::int64_t tokens = c.batch * c.sequence;
  const AttentionShape shape = shape_of(c);
  const Values qkv = rounded(dtype, random_values(tokens * shape.heads.packed_width(), 1));
  const Values dcontext = rounded(dtype, random_values(tokens * c.heads * c.head_dim, 2));
  const auto forward = [&](const Values& x) {
    return reference_attention(x, shape, positions_of(c));
  };
  const Whole out = run_slices(1, dtype, c, qkv, dcontext, bounds);
  BOOST_TEST_CONTEXT("S " << c.sequence << " H " << c.heads << ":" << c.kv_heads << " K "
                          << c.head_dim << " window " << c.window << " " << to_string(dtype)
                          << " slices " << bounds.size() - 1) {
    BOOST_TEST(relative_error(out.context, forward(qkv)) < tolerance);
    const auto indices = sample(qkv.size(), 60);
    const Values want = numeric_gradient(forward, qkv, dcontext, indices);
    BOOST_TEST(relative_error(pick(out.dqkv, indices), want) < tolerance);
    for (const double value : out.dqkv) BOOST_REQUIRE(std::isfinite(value));
    for (const int threads : {2, 3}) {
      const Whole other = run_slices(threads, dtype, c, qkv, dcontext, bounds);
      BOOST_TEST((out.context == other.context));
      BOOST_TEST((out.dqkv == other.dqkv));
    }
    // Whole rows: equal but for the association of sums.
    const Outcome whole = run(1, dtype, c, qkv, dcontext);
    const double near = dtype == DType::f32 ? 1e-6 : tolerance;
    BOOST_TEST(relative_error(out.context, values_of(whole.context)) < near);
    BOOST_TEST(relative_error(out.dqkv, values_of(whole.dqkv)) < near);
  }
}

void check_all(DType dtype, double tolerance) {
  for (const Case& c : cases) {
    for (const std::int64_t count : {1, 2, 3, 5}) {
      if (count <= c.sequence) check_slices(c, dtype, even_bounds(c, count), tolerance);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(float32_matches_the_reference_and_its_gradient) {
  check_all(DType::f32, 1e-5);
}

BOOST_AUTO_TEST_CASE(bfloat16_matches_within_its_rounding) {
  check_all(DType::bf16, 1e-2);
}

BOOST_AUTO_TEST_CASE(slices_may_be_of_any_length) {
  const Case c{2, 260, 4, 2, 32, 0, {100, 90}};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const double tolerance = dtype == DType::f32 ? 1e-5 : 1e-2;
    for (const std::vector<std::int64_t>& bounds : std::vector<std::vector<std::int64_t>>{
             {0, 1, 2, 259, 260}, {0, 64, 128, 192, 260}, {0, 63, 65, 200, 260}, {0, 259, 260}}) {
      check_slices(c, dtype, bounds, tolerance);
    }
  }
}

// One slice takes no sums that whole rows do not.
BOOST_AUTO_TEST_CASE(one_slice_is_whole_rows_to_the_last_bit) {
  const Case c{2, 140, 4, 2, 16, 0, {30, 37, 64}};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Values qkv = rounded(dtype, random_values(280 * 8 * 16, 3));
    const Values dcontext = rounded(dtype, random_values(280 * 4 * 16, 4));
    const Whole one = run_slices(1, dtype, c, qkv, dcontext, {0, 140});
    const Outcome whole = run(1, dtype, c, qkv, dcontext);
    BOOST_TEST((one.context == values_of(whole.context)));
    BOOST_TEST((one.dqkv == values_of(whole.dqkv)));
  }
}

BOOST_AUTO_TEST_CASE(bfloat16_without_dot_products_matches_too) {
  const Case c{2, 150, 4, 2, 32, 0, {70, 80}};
  const std::int64_t best = hwy::SupportedTargets();
  hwy::SetSupportedTargetsForTest(best & ~(HWY_AVX3 | HWY_AVX3_DL));
  hwy::GetChosenTarget().DeInit();
  check_slices(c, DType::bf16, even_bounds(c, 3), 1e-2);
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

BOOST_AUTO_TEST_CASE(tokens_of_every_row_are_taken) {
  Stream stream(inline_stream(1));
  const Tensor whole = ids_of(stream, {0, 1, 2, 3, 4, 10, 11, 12, 13, 14});
  Tensor slice = unwritten(stream, DType::i32, {4});
  take_slice(stream, whole, 2, 3, slice);
  const std::vector<std::int32_t> got(slice.data<std::int32_t>(), slice.data<std::int32_t>() + 4);
  BOOST_TEST(got == (std::vector<std::int32_t>{3, 4, 13, 14}), boost::test_tools::per_element());
}
