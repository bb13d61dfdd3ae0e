#define BOOST_TEST_MODULE sgd
#include "kernels/sgd.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <fstream>
#include <sstream>

#include "kernel_test.hpp"

namespace collie::kernels {
namespace {

using namespace collie::testing;

Tensor zeros(Stream& stream, std::int64_t count) {
  return make_tensor(stream, DType::f32, {count}, Values(static_cast<std::size_t>(count), 0.0));
}

BOOST_AUTO_TEST_CASE(ten_steps_match_torch) {
  std::ifstream file(COLLIE_TESTS_DIR "/goldens/optimizers/sgd.csv");
  int lines = 0;
  on_stream(1, [&](Stream& stream) {
    Tensor param, velocity, none;
    for (std::string line; std::getline(file, line); ++lines) {
      std::ranges::replace(line, ',', ' ');
      std::istringstream columns(line);
      SgdStep update;
      int step = 0, index = 0;
      double gradient = 0.0, wanted = 0.0;
      columns >> update.momentum >> update.weight_decay >> update.learning_rate >> step >> index >>
          gradient >> wanted;
      BOOST_REQUIRE(!columns.fail());
      if (step == 0 && index == 0) {
        param = make_tensor(stream, DType::f32, {5}, {1.0, 0.75, 0.5, 0.25, 0.0});
        velocity = zeros(stream, 5);
      }
      Tensor one = param.rows(index, index + 1);
      Tensor one_velocity = velocity.rows(index, index + 1);
      // The scale undoes what the gradient is too large by.
      update.gradient_scale = 0.25;
      const Tensor grad = make_tensor(stream, DType::f32, {1}, {4.0 * gradient});
      sgd_step(stream, update, one, grad, one_velocity, none);
      BOOST_TEST(std::abs(to_values(one)[0] - wanted) < 2e-6, line);
    }
  });
  BOOST_TEST(lines == 200);
}

BOOST_AUTO_TEST_CASE(long_ranges_match_double_and_have_rounded_copies) {
  on_stream(3, [](Stream& stream) {
    const std::int64_t count = 200'003;
    Tensor param = random_tensor(stream, DType::f32, {count}, 1);
    Tensor velocity = random_tensor(stream, DType::f32, {count}, 2);
    const Tensor grad = random_tensor(stream, DType::f32, {count}, 3);
    Tensor copy = stream.allocate(DType::bf16, {count});
    const Values w = to_values(param), v = to_values(velocity), g = to_values(grad);
    sgd_step(stream, {.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.01}, param, grad,
             velocity, copy);
    const Values got = to_values(param);
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double wanted = w[i] - 0.1 * (0.9 * v[i] + g[i] + 0.01 * w[i]);
      if (std::abs(got[i] - wanted) > 2e-6) BOOST_ERROR("parameter " << i);
      const BFloat16 rounded(static_cast<float>(got[i]));
      if (copy.data<BFloat16>()[i].bits != rounded.bits) BOOST_ERROR("copy " << i);
    }
  });
}

}  // namespace
}  // namespace collie::kernels
