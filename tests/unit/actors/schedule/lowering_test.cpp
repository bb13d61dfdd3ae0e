#define BOOST_TEST_MODULE schedule_lowering
#include "actors/schedule/lowering.hpp"

#include <boost/test/unit_test.hpp>
#include <map>
#include <set>
#include <tuple>

#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;

BOOST_AUTO_TEST_CASE(messages_stand_beside_maker_and_reader) {
  BOOST_CHECK_EQUAL(print_programs(lower(generated("1f1b", 2, 2))),
                    "rank 0: 0F0 0SEND_F0 0F1 0SEND_F1 0RECV_B0 0B0 0RECV_B1 0B1 STEP0\n"
                    "rank 1: 1RECV_F0 1F0 1B0 1SEND_B0 1RECV_F1 1F1 1B1 1SEND_B1 STEP1\n");
}

BOOST_AUTO_TEST_CASE(an_input_gradient_is_sent_before_the_weight_gradient) {
  Schedule schedule = generated("gpipe", 2, 1);
  schedule.programs[1] = {{Verb::forward, 1, 0},
                          {Verb::backward_input, 1, 0},
                          {Verb::backward_weight, 1, 0},
                          {Verb::step, 1}};
  BOOST_CHECK_EQUAL(print_programs(lower(schedule)),
                    "rank 0: 0F0 0SEND_F0 0RECV_B0 0B0 STEP0\n"
                    "rank 1: 1RECV_F0 1F0 1I0 1SEND_B0 1W0 STEP1\n");
}

BOOST_AUTO_TEST_CASE(nothing_travels_within_a_rank) {
  Schedule schedule{.placement = Placement::wave(1, 2), .programs = {{}}};
  schedule.programs[0] = {
      {Verb::forward, 0, 0}, {Verb::forward, 1, 0}, {Verb::backward, 1, 0}, {Verb::backward, 0, 0}};
  BOOST_TEST((lower(schedule) == schedule));
}

BOOST_AUTO_TEST_CASE(overlapping_actions_stay_neighbours) {
  Schedule schedule{.placement = Placement::linear(3), .micro_batches = 2};
  Action forward{Verb::forward, 1, 1};
  forward.overlaps_next = true;
  schedule.programs = {{}, {forward, {Verb::backward, 1, 0}}, {}};
  BOOST_CHECK_EQUAL(print_programs(lower(schedule)),
                    "rank 0:\nrank 1: 1RECV_F1 1RECV_B0 1F1 1B0 1SEND_F1 1SEND_B0\nrank 2:\n");
  BOOST_TEST(lower(schedule).programs[1][2].overlaps_next);
}

BOOST_AUTO_TEST_CASE(replicas_reduce_in_the_same_order_on_both_ranks) {
  const std::string text = print_programs(lower(generated("chimera", 2, 2)));
  const std::string end = "REDUCE_GRAD0 REDUCE_GRAD1~ STEP0 STEP1~\n";
  BOOST_TEST(text.find(end) != std::string::npos, text);
  BOOST_TEST(text.find("REDUCE_GRAD0~ REDUCE_GRAD1 ") != std::string::npos, text);
}

BOOST_AUTO_TEST_CASE(a_lowered_schedule_stays_as_it_is) {
  for (const std::string_view name : {"1f1b", "zbv", "chimera", "dualpipe"}) {
    const Schedule lowered = lower(generated(name, 4, 8));
    BOOST_TEST((lower(lowered) == lowered), name);
  }
}

BOOST_AUTO_TEST_CASE(every_message_has_two_ends_and_compute_is_unchanged) {
  for (const ScheduleGenerator& generator : schedule_generators()) {
    const Schedule schedule = generated(generator.name, 4, 8);
    Schedule lowered = lower(schedule);
    using Key = std::tuple<bool, int, int, int, short, signed char>;
    std::map<Key, std::pair<int, int>> ends;
    for (std::size_t rank = 0; rank < 4; ++rank) {
      for (const Action& action : lowered.programs[rank]) {
        if (!is_send(action.verb) && !is_receive(action.verb)) continue;
        const ScheduleMessage message = message_of(action);
        auto& [sends, receives] = ends[{message.is_gradient, message.from_stage, message.to_stage,
                                        action.micro_batch, action.slice, action.direction}];
        ++(is_send(action.verb) ? sends : receives);
      }
      std::erase_if(lowered.programs[rank], [](const Action& a) {
        return is_send(a.verb) || is_receive(a.verb) || a.verb == Verb::all_reduce;
      });
    }
    for (const auto& [key, counts] : ends) {
      BOOST_TEST((counts == std::pair(1, 1)), generator.name << " stage " << std::get<1>(key));
    }
    BOOST_TEST((lowered == schedule), generator.name);
  }
}
