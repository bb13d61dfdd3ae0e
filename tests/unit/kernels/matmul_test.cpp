#define BOOST_TEST_MODULE matmul
#include "kernels/matmul.hpp"

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>

#include "kernel_test.hpp"

namespace collie::kernels {
namespace {

using namespace collie::testing;

struct Case {
  std::int64_t t;
  std::int64_t k;
  std::int64_t n;
  DType dtype;
};

// Odd shapes, and shapes that end in partial tiles of every rule of matmul_tiles.cpp.
const std::vector<Case>& cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> list;
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const auto& [t, k, n] : std::vector<std::array<std::int64_t, 3>>{{1, 1, 1},
                                                                            {1, 64, 48},
                                                                            {2, 3, 5},
                                                                            {7, 13, 11},
                                                                            {17, 1, 33},
                                                                            {31, 129, 1},
                                                                            {127, 61, 401},
                                                                            {613, 37, 71},
                                                                            {521, 2053, 7},
                                                                            {530, 19, 2100},
                                                                            {521, 5, 8300}}) {
        list.push_back({t, k, n, dtype});
      }
    }
    return list;
  }();
  return all;
}

// c[i,j] = sum over l of a(i,l) b(l,j), with the sum of magnitudes for the error bound.
struct Product {
  Values value;
  Values magnitude;
};
template <class A, class B>
Product multiply(std::int64_t m, std::int64_t n, std::int64_t k, const A& a, const B& b) {
  Product product;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = 0.0;
      double squares = 0.0;
      for (std::int64_t l = 0; l < k; ++l) {
        const double term = a(i, l) * b(l, j);
        sum += term;
        squares += term * term;
      }
      product.value.push_back(sum);
      product.magnitude.push_back(std::sqrt(squares));
    }
  }
  return product;
}

auto matrix(const Values& values, std::int64_t width) {
  return [&values, width](std::int64_t i, std::int64_t j) {
    return values[static_cast<std::size_t>(i * width + j)];
  };
}
auto transposed(const Values& values, std::int64_t width) {
  return [&values, width](std::int64_t i, std::int64_t j) {
    return values[static_cast<std::size_t>(j * width + i)];
  };
}

// Random rounding of k terms of float32 grows with sqrt(k); the result is rounded to its dtype
// once.
void expect_close(const Tensor& actual, const Values& value, const Values& magnitude,
                  std::int64_t k) {
  const double dtype_epsilon = actual.dtype() == DType::bf16 ? 0x1p-8 : 0x1p-24;
  const Values got = to_values(actual);
  double worst = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double bound = 8.0 * 0x1p-24 * (std::sqrt(static_cast<double>(k)) * magnitude[i] + 1e-3) +
                         dtype_epsilon * std::abs(value[i]) * 1.01 + 0x1p-24 * magnitude[i];
    worst = std::max(worst, std::abs(got[i] - value[i]) / bound);
    if (!std::isfinite(got[i])) worst = INFINITY;
  }
  BOOST_TEST(worst < 1.0);
}

BOOST_AUTO_TEST_CASE(forward_matches_double) {
  for (const Case& c : cases()) {
    for (const bool with_bias : {false, true}) {
      on_stream(2, [&](Stream& stream) {
        const Tensor x = random_tensor(stream, c.dtype, {c.t, c.k}, 1);
        const Tensor w = random_tensor(stream, c.dtype, {c.n, c.k}, 2);
        const Tensor bias = with_bias ? random_tensor(stream, c.dtype, {c.n}, 3) : Tensor();
        Tensor y = stream.allocate(c.dtype, {c.t, c.n});
        linear_forward(stream, x, w, bias, y);
        const Values xs = to_values(x);
        const Values ws = to_values(w);
        Product expected = multiply(c.t, c.n, c.k, matrix(xs, c.k), transposed(ws, c.k));
        if (with_bias) {
          const Values biases = to_values(bias);
          for (std::size_t i = 0; i < expected.value.size(); ++i) {
            const double b = biases[i % static_cast<std::size_t>(c.n)];
            expected.value[i] += b;
            expected.magnitude[i] = std::hypot(expected.magnitude[i], b);
          }
        }
        BOOST_TEST_CONTEXT(c.t << "x" << c.k << "x" << c.n << " " << to_string(c.dtype))
        expect_close(y, expected.value, expected.magnitude, c.k + 1);
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(backward_input_matches_double) {
  for (const Case& c : cases()) {
    for (const bool accumulate : {false, true}) {
      on_stream(2, [&](Stream& stream) {
        const Tensor dy = random_tensor(stream, c.dtype, {c.t, c.n}, 4);
        const Tensor w = random_tensor(stream, c.dtype, {c.n, c.k}, 5);
        Tensor dx = random_tensor(stream, c.dtype, {c.t, c.k}, 6);
        const Values before = to_values(dx);
        const Values dys = to_values(dy);
        const Values ws = to_values(w);
        linear_backward_input(stream, dy, w, dx, accumulate);
        Product expected = multiply(c.t, c.k, c.n, matrix(dys, c.n), matrix(ws, c.k));
        for (std::size_t i = 0; accumulate && i < before.size(); ++i) {
          expected.value[i] += before[i];
          expected.magnitude[i] = std::hypot(expected.magnitude[i], before[i]);
        }
        BOOST_TEST_CONTEXT(c.t << "x" << c.k << "x" << c.n << " " << to_string(c.dtype))
        expect_close(dx, expected.value, expected.magnitude, c.n + 1);
      });
    }
  }
}

void expect_weight_gradient(const Case& c, bool accumulate) {
  on_stream(2, [&](Stream& stream) {
    const Tensor dy = random_tensor(stream, c.dtype, {c.t, c.n}, 7);
    const Tensor x = random_tensor(stream, c.dtype, {c.t, c.k}, 8);
    Tensor dw = random_tensor(stream, DType::f32, {c.n, c.k}, 9);
    Tensor db = random_tensor(stream, DType::f32, {c.n}, 10);
    const Values dw_before = to_values(dw);
    const Values db_before = to_values(db);
    const Values dys = to_values(dy);
    const Values xs = to_values(x);
    linear_backward_weight(stream, dy, x, dw, db, accumulate);
    Product weight = multiply(c.n, c.k, c.t, transposed(dys, c.n), matrix(xs, c.k));
    const auto one = [](std::int64_t, std::int64_t) { return 1.0; };
    Product bias = multiply(c.n, 1, c.t, transposed(dys, c.n), one);
    const auto add = [&](Product& product, const Values& before) {
      for (std::size_t i = 0; accumulate && i < before.size(); ++i) {
        product.value[i] += before[i];
        product.magnitude[i] = std::hypot(product.magnitude[i], before[i]);
      }
    };
    add(weight, dw_before);
    add(bias, db_before);
    BOOST_TEST_CONTEXT(c.t << "x" << c.k << "x" << c.n << " " << to_string(c.dtype)) {
      expect_close(dw, weight.value, weight.magnitude, c.t + 1);
      expect_close(db, bias.value, bias.magnitude, c.t + 1);
    }
  });
}

BOOST_AUTO_TEST_CASE(backward_weight_matches_double) {
  for (const Case& c : cases()) {
    for (const bool accumulate : {false, true}) expect_weight_gradient(c, accumulate);
  }
}

struct Results {
  Tensor y;
  Tensor dx;
  Tensor dw;
  Tensor db;
};

Results run_all(const Case& c, int threads) {
  Results results;
  on_stream(threads, [&](Stream& stream) {
    const Tensor x = random_tensor(stream, c.dtype, {c.t, c.k}, 11);
    const Tensor w = random_tensor(stream, c.dtype, {c.n, c.k}, 12);
    const Tensor bias = random_tensor(stream, c.dtype, {c.n}, 13);
    const Tensor dy = random_tensor(stream, c.dtype, {c.t, c.n}, 14);
    results.y = stream.allocate(c.dtype, {c.t, c.n});
    results.dx = random_tensor(stream, c.dtype, {c.t, c.k}, 15);
    results.dw = random_tensor(stream, DType::f32, {c.n, c.k}, 16);
    results.db = random_tensor(stream, DType::f32, {c.n}, 17);
    linear_forward(stream, x, w, bias, results.y);
    linear_backward_input(stream, dy, w, results.dx, true);
    linear_backward_weight(stream, dy, x, results.dw, results.db, true);
  });
  return results;
}

BOOST_AUTO_TEST_CASE(the_number_of_threads_changes_no_bit) {
  std::vector<Case> all = cases();
  for (const DType dtype : {DType::f32, DType::bf16}) {
    all.push_back({1100, 96, 640, dtype});
    all.push_back({128, 384, 1152, dtype});
  }
  for (const Case& c : all) {
    const Results one = run_all(c, 1);
    for (const int threads : {2, 3}) {
      const Results more = run_all(c, threads);
      BOOST_TEST_CONTEXT(c.t << "x" << c.k << "x" << c.n << " " << threads << " threads") {
        BOOST_TEST(same_bytes(one.y, more.y));
        BOOST_TEST(same_bytes(one.dx, more.dx));
        BOOST_TEST(same_bytes(one.dw, more.dw));
        BOOST_TEST(same_bytes(one.db, more.db));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(repeated_shapes_take_no_memory) {
  on_stream(2, [](Stream& stream) {
    const Tensor x = random_tensor(stream, DType::bf16, {300, 70}, 1);
    const Tensor w = random_tensor(stream, DType::bf16, {90, 70}, 2);
    Tensor y = stream.allocate(DType::bf16, {300, 90});
    for (int i = 0; i < 3; ++i) linear_forward(stream, x, w, {}, y);
    const std::size_t reserved = stream.allocator().use().reserved_bytes;
    for (int i = 0; i < 20; ++i) linear_forward(stream, x, w, {}, y);
    BOOST_TEST(stream.allocator().use().reserved_bytes == reserved);
  });
}

}  // namespace
}  // namespace collie::kernels
