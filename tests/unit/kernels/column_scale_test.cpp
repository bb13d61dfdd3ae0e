#define BOOST_TEST_MODULE column_scale
#include "kernels/column_scale.hpp"

#include <boost/test/unit_test.hpp>

#include "kernel_test.hpp"
#include "kernels/virtual_tokens.hpp"

namespace collie::kernels {
namespace {

using namespace collie::testing;

std::size_t at(std::int64_t row, std::int64_t width, std::int64_t column) {
  return static_cast<std::size_t>(row * width + column);
}

void check_close(const Values& got, const Values& wanted, double bound) {
  BOOST_REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (!(std::abs(got[i] - wanted[i]) <= bound * (1.0 + std::abs(wanted[i])))) {
      BOOST_ERROR("element " << i << ": " << got[i] << ", not " << wanted[i]);
    }
  }
}
double unit_of(DType dtype) {
  return dtype == DType::f32 ? 1e-6 : 8e-3;
}

template <class Body>
void for_dtypes(const Body& body) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    on_stream(2, [&](Stream& stream) { body(stream, dtype); });
  }
}

BOOST_AUTO_TEST_CASE(columns_are_scaled_and_biased) {
  for_dtypes([](Stream& stream, DType dtype) {
    const Tensor x = random_tensor(stream, dtype, {67, 37}, 1);
    const Tensor factors = random_tensor(stream, DType::f32, {37}, 2);
    const Tensor bias = random_tensor(stream, dtype, {37}, 3);
    Values wanted = to_values(x);
    const Values f = to_values(factors), b = to_values(bias);
    for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = wanted[i] * f[i % 37] + b[i % 37];
    Tensor out = stream.allocate(dtype, x.shape());
    scale_columns(stream, x, factors, bias, out);
    check_close(to_values(out), wanted, unit_of(dtype));
  });
}

BOOST_AUTO_TEST_CASE(dots_are_of_the_columns_asked_for) {
  for_dtypes([](Stream& stream, DType dtype) {
    constexpr std::int64_t tokens = 70, wide = 50, column = 9, count = 33;
    const Tensor a = random_tensor(stream, dtype, {tokens, wide}, 1);
    const Tensor b = random_tensor(stream, dtype, {tokens, count}, 2);
    const Tensor inverse = random_tensor(stream, DType::f32, {wide}, 3);
    for (const bool accumulate : {false, true}) {
      Tensor d = random_tensor(stream, DType::f32, {count}, 4);
      Values wanted = to_values(d);
      for (std::int64_t n = 0; n < count; ++n) {
        double sum = 0.0;
        for (std::int64_t t = 0; t < tokens; ++t) {
          sum += to_values(a)[at(t, wide, column + n)] * to_values(b)[at(t, count, n)];
        }
        double& out = wanted[static_cast<std::size_t>(n)];
        out = (accumulate ? out : 0.0) + to_values(inverse)[at(0, 0, column + n)] * sum;
      }
      column_dots(stream, a, column, b, inverse, d, accumulate);
      check_close(to_values(d), wanted, 1e-5);
    }
  });
}

BOOST_AUTO_TEST_CASE(squares_are_of_the_sum_of_weight_and_product) {
  for_dtypes([](Stream& stream, DType dtype) {
    constexpr std::int64_t rows = 35, width = 41, ranks = 3, all_ranks = 8, first = 4;
    const Tensor w = random_tensor(stream, dtype, {rows, width}, 1);
    const Tensor a = random_tensor(stream, dtype, {all_ranks, width}, 2);
    const Tensor b = random_tensor(stream, dtype, {rows, ranks}, 3);
    const Values wv = to_values(w), av = to_values(a), bv = to_values(b);
    Tensor squares = stream.allocate(DType::f32, {rows + 2});
    fill_ones(stream, squares);
    Values wanted(rows + 2, 1.0);
    for (std::int64_t n = 0; n < rows; ++n) {
      double sum = 0.0;
      for (std::int64_t k = 0; k < width; ++k) {
        double value = wv[at(n, width, k)];
        for (std::int64_t r = 0; r < ranks; ++r) {
          value += 0.5 * bv[at(n, ranks, r)] * av[at(first + r, width, k)];
        }
        sum += value * value;
      }
      wanted[static_cast<std::size_t>(n + 1)] = sum;
    }
    row_squares(stream, w, a, b, {1, first, 0.5F}, squares);
    check_close(to_values(squares), wanted, 1e-5);
  });
}

BOOST_AUTO_TEST_CASE(a_row_of_zeros_has_no_inverse) {
  on_stream(1, [](Stream& stream) {
    Tensor inverse = stream.allocate(DType::f32, {3});
    inverse_roots(stream, make_tensor(stream, DType::f32, {3}, {4.0, 0.0, 0.25}), inverse);
    check_close(to_values(inverse), {0.5, 0.0, 2.0}, 1e-6);
    Tensor factors = make_tensor(stream, DType::f32, {3}, {7.0, 8.0, 9.0});
    place_factors(stream, make_tensor(stream, DType::f32, {1, 1}, {3.0}), 2, inverse, factors);
    check_close(to_values(factors), {7.0, 8.0, 6.0}, 1e-6);
  });
}

BOOST_AUTO_TEST_CASE(a_prefix_stands_at_the_first_positions_and_takes_their_gradient) {
  for_dtypes([](Stream& stream, DType dtype) {
    const Tensor positions = make_tensor(stream, DType::i32, {6}, {0, 1, 2, 0, 1, 2});
    const Tensor prefix = make_tensor(stream, dtype, {2, 2}, {1, 2, 3, 4});  // [columns, tokens]
    Tensor x = make_tensor(stream, dtype, {6, 4}, Values(24, 9.0));
    place_prefix(stream, prefix, positions, 1, x);
    check_close(to_values(x),
                {9, 1, 3, 9, 9, 2, 4, 9, 9, 9, 9, 9, 9, 1, 3, 9, 9, 2, 4, 9, 9, 9, 9, 9}, 0.0);
    for (const bool accumulate : {false, true}) {
      Tensor dx = make_tensor(stream, dtype, {6, 4}, Values(24, 2.0));
      Tensor dprefix = make_tensor(stream, DType::f32, {2, 2}, Values(4, 10.0));
      take_prefix_gradient(stream, positions, 1, dx, dprefix, accumulate);
      check_close(to_values(dprefix), Values(4, accumulate ? 14.0 : 4.0), 0.0);
      check_close(to_values(dx),
                  {2, 0, 0, 2, 2, 0, 0, 2, 2, 2, 2, 2, 2, 0, 0, 2, 2, 0, 0, 2, 2, 2, 2, 2}, 0.0);
    }
  });
}

BOOST_AUTO_TEST_CASE(relu_and_its_gradient) {
  for_dtypes([](Stream& stream, DType dtype) {
    Tensor x = make_tensor(stream, dtype, {1, 4}, {-1, 0, 2, -3});
    relu(stream, x);
    check_close(to_values(x), {0, 0, 2, 0}, 0.0);
    Tensor dy = make_tensor(stream, dtype, {1, 4}, {5, 6, 7, 8});
    relu_backward(stream, x, dy);
    check_close(to_values(dy), {0, 0, 7, 0}, 0.0);
  });
}

}  // namespace
}  // namespace collie::kernels
