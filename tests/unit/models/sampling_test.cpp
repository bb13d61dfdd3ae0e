#define BOOST_TEST_MODULE sampling
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "models/sampling.hpp"

using namespace collie;

namespace {

// Probabilities 0.5, 0.25, 0.15, 0.1 at ids 2, 0, 3, 1.
const std::vector<float> logits = {std::log(0.25F), std::log(0.1F), std::log(0.5F),
                                   std::log(0.15F)};

std::map<std::int32_t, double> frequencies(const SamplingOptions& options) {
  constexpr int draws = 20000;
  std::map<std::int32_t, double> found;
  for (int position = 0; position < draws; ++position) {
    found[*sample_token(logits, options, position)] += 1.0 / draws;
  }
  return found;
}

}  // namespace

BOOST_AUTO_TEST_CASE(greedy_takes_the_first_of_the_most_likely) {
  BOOST_TEST(*sample_token(logits, {}, 0) == 2);
  const std::vector<float> equal = {1.0F, 3.0F, 3.0F};
  BOOST_TEST(*sample_token(equal, {}, 0) == 1);
}

BOOST_AUTO_TEST_CASE(draws_follow_the_distribution) {
  auto found = frequencies({.temperature = 1.0, .seed = 3});
  // Four standard deviations of 20,000 draws are at most 0.0142.
  BOOST_TEST(std::abs(found[2] - 0.5) < 0.0142);
  BOOST_TEST(std::abs(found[0] - 0.25) < 0.0142);
  BOOST_TEST(std::abs(found[3] - 0.15) < 0.0142);
  BOOST_TEST(std::abs(found[1] - 0.1) < 0.0142);
}

BOOST_AUTO_TEST_CASE(temperature_sharpens) {
  // Squares of the probabilities: 0.25, 0.0625, 0.0225, 0.01 of 0.345.
  auto found = frequencies({.temperature = 0.5, .seed = 3});
  BOOST_TEST(std::abs(found[2] - 0.25 / 0.345) < 0.0142);
}

BOOST_AUTO_TEST_CASE(top_k_and_top_p_cut_the_tail) {
  auto top_k = frequencies({.temperature = 1.0, .top_k = 2, .seed = 3});
  BOOST_TEST(top_k.size() == 2U);
  BOOST_TEST(std::abs(top_k[2] - 2.0 / 3.0) < 0.0142);
  // 0.5 + 0.25 reach 0.7; 0.5 alone reaches 0.4.
  auto top_p = frequencies({.temperature = 1.0, .top_p = 0.7, .seed = 3});
  BOOST_TEST(top_p.size() == 2U);
  BOOST_TEST(top_p.contains(0));
  auto narrow = frequencies({.temperature = 1.0, .top_p = 0.4, .seed = 3});
  BOOST_TEST(narrow.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_draw_is_a_function_of_seed_and_position) {
  const SamplingOptions options{.temperature = 1.0, .seed = 5};
  std::vector<std::int32_t> first, again, other;
  for (int position = 0; position < 50; ++position) {
    first.push_back(*sample_token(logits, options, position));
    again.push_back(*sample_token(logits, options, position));
    other.push_back(*sample_token(logits, {.temperature = 1.0, .seed = 6}, position));
  }
  BOOST_TEST(first == again, boost::test_tools::per_element());
  BOOST_TEST((first != other));
}

BOOST_AUTO_TEST_CASE(bad_input_is_named) {
  const std::vector<float> nan = {0.0F, std::numeric_limits<float>::quiet_NaN()};
  BOOST_TEST(sample_token(nan, {}, 0).error().message == "the logit of token 1 is nan");
  BOOST_TEST((sample_token(nan, {}, 0).error().code == ErrorCode::non_finite));
  BOOST_TEST(!sample_token(std::vector<float>{-INFINITY}, {}, 0).ok());
  BOOST_TEST(!check_sampling({.temperature = -1.0}).ok());
  BOOST_TEST(!check_sampling({.top_k = -1}).ok());
  BOOST_TEST(!check_sampling({.top_p = 0.0}).ok());
  BOOST_TEST(!check_sampling({.top_p = std::nan("")}).ok());
}
