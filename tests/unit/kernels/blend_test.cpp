#define BOOST_TEST_MODULE blend
#include "kernels/blend.hpp"

#include <boost/test/unit_test.hpp>

#include "kernel_test.hpp"
#include "kernels/adamw.hpp"

namespace collie::kernels {
namespace {

using namespace collie::testing;

BOOST_AUTO_TEST_CASE(blends_match_double) {
  for (const std::int64_t count : {1, 17, 200'003}) {
    on_stream(2, [&](Stream& stream) {
      const Tensor x = random_tensor(stream, DType::f32, {count}, 1);
      const Tensor y = random_tensor(stream, DType::f32, {count}, 2);
      Tensor out = stream.allocate(DType::f32, {count});
      blend(stream, 0.75F, x, -2.5F, y, out);
      const Values a = to_values(x), b = to_values(y), got = to_values(out);
      for (std::size_t i = 0; i < got.size(); ++i) {
        if (std::abs(got[i] - (0.75 * a[i] - 2.5 * b[i])) > 4e-6) BOOST_ERROR("element " << i);
      }
    });
  }
}

BOOST_AUTO_TEST_CASE(the_result_may_replace_an_operand) {
  on_stream(1, [](Stream& stream) {
    Tensor x = make_tensor(stream, DType::f32, {3}, {1.0, 2.0, 3.0});
    Tensor y = make_tensor(stream, DType::f32, {3}, {4.0, 8.0, 16.0});
    blend(stream, 2.0F, x, 0.5F, y, y);
    BOOST_TEST(to_values(y) == (Values{4.0, 8.0, 14.0}));
    blend(stream, -1.0F, x, 1.0F, y, x);
    BOOST_TEST(to_values(x) == (Values{3.0, 6.0, 11.0}));
  });
}

BOOST_AUTO_TEST_CASE(the_direction_of_adamw_matches_double) {
  on_stream(2, [](Stream& stream) {
    const std::int64_t count = 70'001;
    const Tensor param = random_tensor(stream, DType::f32, {count}, 1);
    const Tensor m = random_tensor(stream, DType::f32, {count}, 2, 0.1);
    Values squares = random_values(count, 3);
    for (double& value : squares) value = value * value * 0.01;
    const Tensor v = make_tensor(stream, DType::f32, {count}, squares);
    Tensor out = stream.allocate(DType::f32, {count});
    adamw_direction(stream, {.beta1 = 0.8, .beta2 = 0.99, .weight_decay = 0.1, .step = 7}, param, m,
                    v, out);
    const Values w = to_values(param), first = to_values(m), second = to_values(v);
    const Values got = to_values(out);
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double mean = first[i] / (1.0 - std::pow(0.8, 7));
      const double root = std::sqrt(second[i] / (1.0 - std::pow(0.99, 7)));
      const double wanted = mean / (root + 1e-8) + 0.1 * w[i];
      if (std::abs(got[i] - wanted) > 1e-5 * std::abs(wanted) + 1e-6) BOOST_ERROR("element " << i);
    }
  });
}

BOOST_AUTO_TEST_CASE(the_direction_is_what_the_next_update_takes) {
  // Without a new gradient and with nothing forgotten, a step moves by the rate times it.
  on_stream(1, [](Stream& stream) {
    Tensor param = make_tensor(stream, DType::f32, {2}, {1.0, -3.0});
    Tensor m = make_tensor(stream, DType::f32, {2}, {0.0, 0.0});
    Tensor v = make_tensor(stream, DType::f32, {2}, {0.0, 0.0});
    const Tensor grad = make_tensor(stream, DType::f32, {2}, {0.5, -0.25});
    Tensor none, out = stream.allocate(DType::f32, {2});
    AdamWStep step{.learning_rate = 0.01, .weight_decay = 0.1};
    const Values before = to_values(param);
    adamw_step(stream, step, param, grad, m, v, none);
    const Values after = to_values(param);
    adamw_direction(stream, step, make_tensor(stream, DType::f32, {2}, before), m, v, out);
    for (std::size_t i = 0; i < 2; ++i) {
      BOOST_TEST(before[i] - 0.01 * to_values(out)[i] == after[i],
                 boost::test_tools::tolerance(1e-6));
    }
  });
}

}  // namespace
}  // namespace collie::kernels
