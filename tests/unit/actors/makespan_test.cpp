// Times that can be worked out on paper.
#define BOOST_TEST_MODULE makespan
#include "actors/schedule/makespan.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;

// Equal stages: both schedules take (micro-batches + stages - 1) * (forward + backward), GPipe
// (Huang et al. 2019) and PipeDream-flush (Narayanan et al. 2021).
BOOST_AUTO_TEST_CASE(equal_stages_take_the_published_time) {
  for (const int stages : {1, 2, 4}) {
    for (const int micro_batches : {1, 4, 9}) {
      const std::vector<double> forward(static_cast<std::size_t>(stages), 1.0);
      const std::vector<double> backward(static_cast<std::size_t>(stages), 2.0);
      const double expected = 3.0 * (micro_batches + stages - 1);
      BOOST_CHECK_CLOSE(makespan(generated("gpipe", stages, micro_batches), forward, backward),
                        expected, 1e-9);
      BOOST_CHECK_CLOSE(makespan(generated("1f1b", stages, micro_batches), forward, backward),
                        expected, 1e-9);
    }
  }
}

// Stage 1 is the slow one: F0 ends at 1, then 3 + 6 for each of two micro-batches, then B1 of
// stage 0 takes 2 more.
BOOST_AUTO_TEST_CASE(the_slowest_stage_decides) {
  BOOST_CHECK_CLOSE(makespan(generated("1f1b", 2, 2), {1.0, 3.0}, {2.0, 6.0}), 1.0 + 2 * 9.0 + 2.0,
                    1e-9);
}

BOOST_AUTO_TEST_CASE(a_split_backward_hands_its_gradient_on_at_half_time) {
  Schedule schedule = generated("1f1b", 2, 1);
  schedule.programs[1] = {{Verb::forward, 1, 0},
                          {Verb::backward_input, 1, 0},
                          {Verb::backward_weight, 1, 0},
                          {Verb::step, 1, 0}};
  // 1F 1F 1I, then stage 0's B of 2 beside stage 1's W.
  BOOST_CHECK_CLOSE(makespan(schedule, {1.0, 1.0}, {2.0, 2.0}), 5.0, 1e-9);
}
