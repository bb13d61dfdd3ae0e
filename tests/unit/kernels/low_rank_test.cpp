#define BOOST_TEST_MODULE low_rank
#include "kernels/low_rank.hpp"

#include <boost/test/unit_test.hpp>

#include "kernel_test.hpp"

namespace collie::kernels {
namespace {

using namespace collie::testing;

struct Case {
  std::int64_t tokens, wide, columns, column, narrow, ranks, rank_begin;
};
constexpr Case cases[] = {{1, 5, 5, 0, 1, 1, 0},
                          {3, 40, 17, 9, 7, 3, 2},
                          {130, 64, 32, 32, 24, 8, 16},
                          {65, 300, 289, 11, 9, 5, 4},
                          {200, 768, 768, 0, 64, 64, 0}};

// One rounding to the dtype, and float32's of a running sum of `terms` products of numbers around
// 1: each addition rounds a sum of size sqrt(its index), which adds up to about `terms` / 3 units.
void check_close(const Values& got, const Values& wanted, double terms, DType dtype) {
  const double unit = dtype == DType::f32 ? 1.2e-7 : 8e-3;
  BOOST_REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double bound = unit * std::abs(wanted[i]) + 1.2e-7 * (terms + 4.0);
    if (std::abs(got[i] - wanted[i]) > bound) {
      BOOST_ERROR("element " << i << ": " << got[i] << ", not " << wanted[i]);
    }
  }
}

struct Operands {
  Operands(Stream& stream, const Case& of, DType dtype)
      : wide(random_tensor(stream, dtype, {of.tokens, of.wide}, 1)),
        narrow(random_tensor(stream, dtype, {of.tokens, of.narrow}, 2)),
        b(random_tensor(stream, dtype, {of.columns, of.ranks}, 3)) {}
  Tensor wide, narrow, b;
};

std::size_t at(std::int64_t row, std::int64_t width, std::int64_t column) {
  return static_cast<std::size_t>(row * width + column);
}

void check_expand(Stream& stream, const Case& of, DType dtype) {
  Operands operands(stream, of, dtype);
  Values wanted = to_values(operands.wide);
  const Values u = to_values(operands.narrow), b = to_values(operands.b);
  for (std::int64_t t = 0; t < of.tokens; ++t) {
    for (std::int64_t n = 0; n < of.columns; ++n) {
      for (std::int64_t r = 0; r < of.ranks; ++r) {
        wanted[at(t, of.wide, of.column + n)] +=
            0.5 * u[at(t, of.narrow, of.rank_begin + r)] * b[at(n, of.ranks, r)];
      }
    }
  }
  low_rank_expand(stream, operands.narrow, operands.b, {of.column, of.rank_begin, 0.5F},
                  operands.wide);
  check_close(to_values(operands.wide), wanted, static_cast<double>(of.ranks), dtype);
}

void check_reduce(Stream& stream, const Case& of, DType dtype, bool accumulate) {
  Operands operands(stream, of, dtype);
  Values wanted = to_values(operands.narrow);
  const Values dy = to_values(operands.wide), b = to_values(operands.b);
  for (std::int64_t t = 0; t < of.tokens; ++t) {
    for (std::int64_t r = 0; r < of.ranks; ++r) {
      double sum = 0.0;
      for (std::int64_t n = 0; n < of.columns; ++n) {
        sum += dy[at(t, of.wide, of.column + n)] * b[at(n, of.ranks, r)];
      }
      double& out = wanted[at(t, of.narrow, of.rank_begin + r)];
      out = (accumulate ? out : 0.0) + 2.0 * sum;
    }
  }
  low_rank_reduce(stream, operands.wide, operands.b, {of.column, of.rank_begin, 2.0F},
                  operands.narrow, accumulate);
  check_close(to_values(operands.narrow), wanted, 4.0 * static_cast<double>(of.columns), dtype);
}

void check_weight(Stream& stream, const Case& of, DType dtype, bool accumulate) {
  Operands operands(stream, of, dtype);
  Tensor db = random_tensor(stream, DType::f32, {of.columns, of.ranks}, 4);
  Values wanted = to_values(db);
  const Values dy = to_values(operands.wide), u = to_values(operands.narrow);
  for (std::int64_t n = 0; n < of.columns; ++n) {
    for (std::int64_t r = 0; r < of.ranks; ++r) {
      double sum = 0.0;
      for (std::int64_t t = 0; t < of.tokens; ++t) {
        sum += dy[at(t, of.wide, of.column + n)] * u[at(t, of.narrow, of.rank_begin + r)];
      }
      double& out = wanted[at(n, of.ranks, r)];
      out = (accumulate ? out : 0.0) + 0.25 * sum;
    }
  }
  low_rank_weight(stream, operands.wide, operands.narrow, {of.column, of.rank_begin, 0.25F}, db,
                  accumulate);
  check_close(to_values(db), wanted, static_cast<double>(of.tokens), DType::f32);
}

BOOST_AUTO_TEST_CASE(products_match_double_and_leave_other_columns_alone) {
  for (const Case& of : cases) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      on_stream(2, [&](Stream& stream) {
        check_expand(stream, of, dtype);
        check_reduce(stream, of, dtype, false);
        check_reduce(stream, of, dtype, true);
        check_weight(stream, of, dtype, false);
        check_weight(stream, of, dtype, true);
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(threads_do_not_change_a_bit) {
  const Case of = {300, 700, 650, 20, 16, 8, 8};
  Values first;
  for (const int threads : {1, 2, 3}) {
    on_stream(threads, [&](Stream& stream) {
      Operands operands(stream, of, DType::f32);
      Tensor db = stream.allocate(DType::f32, {of.columns, of.ranks});
      low_rank_weight(stream, operands.wide, operands.narrow, {of.column, of.rank_begin, 1.0F}, db,
                      false);
      low_rank_reduce(stream, operands.wide, operands.b, {of.column, of.rank_begin, 1.0F},
                      operands.narrow);
      Values got = to_values(db);
      const Values reduced = to_values(operands.narrow);
      got.insert(got.end(), reduced.begin(), reduced.end());
      if (first.empty()) first = got;
      BOOST_TEST((got == first));
    });
  }
}

}  // namespace
}  // namespace collie::kernels
