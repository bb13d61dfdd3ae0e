#define BOOST_TEST_MODULE adamw
#include "kernels/adamw.hpp"

#include <boost/test/unit_test.hpp>

#include "kernel_test.hpp"

namespace collie::kernels {
namespace {

using namespace collie::testing;

struct State {
  Values param;
  Values m;
  Values v;
};

// torch.optim.AdamW's single-tensor form, in double.
void reference_step(const AdamWStep& step, State& state, const Values& grad) {
  const auto count = static_cast<double>(step.step);
  const double correction1 = 1.0 - std::pow(step.beta1, count);
  const double correction2 = 1.0 - std::pow(step.beta2, count);
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const double g = grad[i] * step.gradient_scale;
    state.param[i] *= 1.0 - step.learning_rate * step.weight_decay;
    state.m[i] += (1.0 - step.beta1) * (g - state.m[i]);
    state.v[i] = step.beta2 * state.v[i] + (1.0 - step.beta2) * g * g;
    const double denominator = std::sqrt(state.v[i]) / std::sqrt(correction2) + step.epsilon;
    state.param[i] -= step.learning_rate / correction1 * state.m[i] / denominator;
  }
}

double norm_of_difference(const Values& a, const Values& b) {
  double difference = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

Tensor zeros(Stream& stream, std::int64_t count) {
  return make_tensor(stream, DType::f32, {count}, Values(static_cast<std::size_t>(count), 0.0));
}

void expect_fifty_steps(std::int64_t count, double weight_decay, double gradient_scale) {
  on_stream(2, [&](Stream& stream) {
    Tensor param = random_tensor(stream, DType::f32, {count}, 1);
    Tensor m = zeros(stream, count);
    Tensor v = zeros(stream, count);
    Tensor copy = stream.allocate(DType::bf16, {count});
    State expected{to_values(param), to_values(m), to_values(v)};
    for (int number = 1; number <= 50; ++number) {
      const AdamWStep step{.learning_rate = 3e-3,
                           .weight_decay = weight_decay,
                           .gradient_scale = gradient_scale,
                           .step = number};
      const Tensor grad = random_tensor(stream, DType::f32, {count},
                                        static_cast<unsigned>(100 + number), number % 7 + 0.1);
      adamw_step(stream, step, param, grad, m, v, copy);
      reference_step(step, expected, to_values(grad));
    }
    BOOST_TEST(norm_of_difference(to_values(param), expected.param) < 1e-6);
    BOOST_TEST(norm_of_difference(to_values(m), expected.m) < 1e-6);
    BOOST_TEST(norm_of_difference(to_values(v), expected.v) < 1e-6);
    for (std::int64_t i = 0; i < count; ++i) {
      const BFloat16 rounded(param.data<float>()[i]);
      if (copy.data<BFloat16>()[i].bits != rounded.bits) BOOST_ERROR("compute copy at " << i);
    }
  });
}

BOOST_AUTO_TEST_CASE(fifty_steps_match_double) {
  for (const std::int64_t count : {1, 17, 1000, 70'001}) {
    expect_fifty_steps(count, 0.0, 1.0);
    expect_fifty_steps(count, 0.1, 0.25);
  }
}

BOOST_AUTO_TEST_CASE(first_step_moves_by_the_learning_rate) {
  // With zero state m / sqrt(v) is the gradient's sign: param moves by lr against it.
  on_stream(1, [](Stream& stream) {
    Tensor param = make_tensor(stream, DType::f32, {3}, {1.0, 2.0, -4.0});
    const Tensor grad = make_tensor(stream, DType::f32, {3}, {0.5, -2.0, 1e-3});
    Tensor m = zeros(stream, 3);
    Tensor v = zeros(stream, 3);
    Tensor none;
    adamw_step(stream, {.learning_rate = 0.125}, param, grad, m, v, none);
    const Values got = to_values(param);
    BOOST_TEST(got[0] == 0.875, boost::test_tools::tolerance(1e-6));
    BOOST_TEST(got[1] == 2.125, boost::test_tools::tolerance(1e-6));
    BOOST_TEST(got[2] == -4.125, boost::test_tools::tolerance(1e-5));  // epsilon shows here
  });
}

BOOST_AUTO_TEST_CASE(a_slice_gets_what_the_whole_gets) {
  // The optimizer is sharded: any cut of the flat range must give the same bits.
  on_stream(3, [](Stream& stream) {
    const std::int64_t count = 70'001;
    const Tensor grad = random_tensor(stream, DType::f32, {count}, 2);
    const auto run = [&](const std::vector<std::int64_t>& cuts) {
      Tensor param = random_tensor(stream, DType::f32, {count}, 1);
      Tensor m = random_tensor(stream, DType::f32, {count}, 3);
      Tensor v = zeros(stream, count);
      for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
        Tensor p = param.rows(cuts[i], cuts[i + 1]);
        Tensor m_part = m.rows(cuts[i], cuts[i + 1]);
        Tensor v_part = v.rows(cuts[i], cuts[i + 1]);
        Tensor none;
        adamw_step(stream, {.learning_rate = 1e-2, .weight_decay = 0.1}, p,
                   grad.rows(cuts[i], cuts[i + 1]), m_part, v_part, none);
      }
      return param;
    };
    BOOST_TEST(same_bytes(run({0, count}), run({0, 1, 35, 65'537, count})));
  });
}

}  // namespace
}  // namespace collie::kernels
