#define BOOST_TEST_MODULE rounding
#include "kernels/rounding.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "kernel_test.hpp"

namespace collie::kernels {
namespace {

using namespace collie::testing;

Values rounded(Stream& stream, const Values& values, const RoundingNumbers& numbers) {
  const Shape shape{static_cast<std::int64_t>(values.size())};
  const Tensor from = make_tensor(stream, DType::f32, shape, values);
  Tensor to = stream.allocate(DType::bf16, shape);
  round_stochastic(stream, numbers, from, to);
  return to_values(to);
}

}  // namespace

// Between 1 and 1 + 2^-7, which are neighbours in bfloat16.
BOOST_AUTO_TEST_CASE(the_mean_is_kept_and_only_neighbours_come_out) {
  Stream stream(stream_options(2, true));
  constexpr double step = 1.0 / 128.0;
  constexpr std::size_t count = 200'000;
  for (const double share : {0.0, 0.1, 0.5, 0.9}) {
    const Values got = rounded(stream, Values(count, 1.0 + share * step), {.seed = 3, .step = 5});
    double ups = 0.0;
    for (const double value : got) {
      BOOST_REQUIRE(value == 1.0 || value == 1.0 + step);
      ups += value == 1.0 ? 0.0 : 1.0;
    }
    const double deviation = std::sqrt(share * (1.0 - share) / count);
    BOOST_CHECK_SMALL(ups / count - share, 5.0 * deviation + 1e-4);
  }
}

BOOST_AUTO_TEST_CASE(numbers_depend_on_seed_step_parameter_and_place_alone) {
  Stream stream(stream_options(2, true));
  const Values values = random_values(5000, 1);
  const RoundingNumbers numbers{.seed = 1, .step = 2, .stream_id = 3, .first_index = 100};
  const Values whole = rounded(stream, values, numbers);
  RoundingNumbers later = numbers;
  later.first_index += 1237;
  const Values tail = rounded(stream, Values(values.begin() + 1237, values.end()), later);
  BOOST_TEST(tail == Values(whole.begin() + 1237, whole.end()), boost::test_tools::per_element());
  for (auto change :
       {&RoundingNumbers::seed, &RoundingNumbers::step, &RoundingNumbers::stream_id}) {
    RoundingNumbers other = numbers;
    ++(other.*change);
    BOOST_TEST(rounded(stream, values, other) != whole);
  }
}

BOOST_AUTO_TEST_CASE(what_bfloat16_holds_stays) {
  Stream stream(stream_options(1, true));
  const double infinity = std::numeric_limits<double>::infinity();
  const Values exact = {0.0, 1.0, -2.5, 384.0, infinity, -infinity};
  BOOST_TEST(rounded(stream, exact, {.seed = 9}) == exact, boost::test_tools::per_element());
  BOOST_TEST(std::isnan(rounded(stream, {std::nan("")}, {.seed = 9}).front()));
}

}  // namespace collie::kernels
