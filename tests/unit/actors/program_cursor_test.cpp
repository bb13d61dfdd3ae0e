// What may start, and when: inputs first, then credit.
#define BOOST_TEST_MODULE program_cursor
#include "actors/protocol/program_cursor.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;

namespace {

constexpr std::uint32_t round_at_hand = 3;

HostedStage hosted_of(const Schedule& schedule, int stage) {
  return {.stage = stage, .is_first = stage == 0, .is_last = stage == schedule.stages() - 1};
}

// The cursor of one stage and the inbox it looks into.
struct Walk {
  Walk(const Schedule& schedule, int stage, int credit)
      : cursor({hosted_of(schedule, stage)}, schedule.ranks(),
               schedule.programs[static_cast<std::size_t>(stage)], credit) {
    inbox.begin_round(round_at_hand);
    cursor.begin_round(Mode::train, round_at_hand, schedule.micro_batches);
  }
  Stamp stamp(std::uint32_t micro_batch) const { return {1, 0, round_at_hand, micro_batch}; }
  std::string next() const {
    const std::optional<Action> action = cursor.startable({&inbox, 1});
    return action ? to_string(*action) : "";
  }
  std::string start_next() {
    const std::optional<Action> action = cursor.startable({&inbox, 1});
    if (!action) return "";
    cursor.started(*action);
    return to_string(*action);
  }

  Inbox inbox{1, 0};
  ProgramCursor cursor;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_forward_needs_tokens_activation_and_credit) {
  Walk walk(generated("gpipe", 3, 2), 1, 1);
  BOOST_CHECK_EQUAL(walk.next(), "");
  walk.inbox.accept(Activation{walk.stamp(0), Tensor()});
  BOOST_CHECK_EQUAL(walk.next(), "");
  walk.inbox.accept(Tokens{walk.stamp(0), {}});
  BOOST_CHECK_EQUAL(walk.start_next(), "1F0");
  walk.inbox.accept(Activation{walk.stamp(1), Tensor()});
  walk.inbox.accept(Tokens{walk.stamp(1), {}});
  BOOST_CHECK_EQUAL(walk.next(), "");
  BOOST_CHECK_EQUAL(walk.cursor.describe(), "1F1 (activation credit 0, gradient credit 1)");
  walk.cursor.give_credit(0, Link::gradient);  // of the other link
  BOOST_CHECK_EQUAL(walk.next(), "");
  walk.cursor.give_credit(0, Link::activation);
  BOOST_CHECK_EQUAL(walk.start_next(), "1F1");
}

BOOST_AUTO_TEST_CASE(a_backward_needs_gradient_and_credit) {
  Walk walk(generated("gpipe", 3, 2), 1, 2);
  for (const std::uint32_t mb : {0U, 1U}) {
    walk.inbox.accept(Activation{walk.stamp(mb), Tensor()});
    walk.inbox.accept(Tokens{walk.stamp(mb), {}});
    walk.start_next();
  }
  BOOST_CHECK_EQUAL(walk.next(), "");
  walk.inbox.accept(Gradient{walk.stamp(1), Tensor()});  // not the next one
  BOOST_CHECK_EQUAL(walk.next(), "");
  walk.inbox.accept(Gradient{walk.stamp(0), Tensor()});
  BOOST_CHECK_EQUAL(walk.start_next(), "1B0");
  BOOST_CHECK_EQUAL(walk.cursor.credit_left(0, Link::gradient), 1);
  BOOST_CHECK_EQUAL(walk.start_next(), "1B1");
  BOOST_CHECK(walk.cursor.finished());
  BOOST_CHECK_EQUAL(walk.next(), "");
}

BOOST_AUTO_TEST_CASE(only_neighbours_that_exist_are_waited_for) {
  Walk alone(generated("1f1b", 1, 1), 0, 1);
  alone.inbox.accept(Tokens{alone.stamp(0), {}});
  BOOST_CHECK_EQUAL(alone.start_next(), "0F0");
  BOOST_CHECK_EQUAL(alone.start_next(), "0B0");
  BOOST_CHECK(alone.cursor.finished());
  BOOST_CHECK_EQUAL(alone.cursor.credit_left(0, Link::activation), 1);
  BOOST_CHECK_EQUAL(alone.cursor.credit_left(0, Link::gradient), 1);
}

BOOST_AUTO_TEST_CASE(a_weight_gradient_waits_for_nothing_and_takes_no_credit) {
  Schedule schedule = generated("gpipe", 2, 1);
  schedule.programs[1] = {{Verb::forward, 1, 0},
                          {Verb::backward_input, 1, 0},
                          {Verb::backward_weight, 1, 0},
                          {Verb::step, 1, 0}};
  Walk walk(schedule, 1, 1);
  walk.inbox.accept(Tokens{walk.stamp(0), {}});
  walk.inbox.accept(Activation{walk.stamp(0), Tensor()});
  BOOST_CHECK_EQUAL(walk.start_next(), "1F0");
  BOOST_CHECK_EQUAL(walk.start_next(), "1I0");
  BOOST_CHECK_EQUAL(walk.cursor.credit_left(0, Link::gradient), 0);
  BOOST_CHECK_EQUAL(walk.start_next(), "1W0");
  BOOST_CHECK(walk.cursor.finished());
}

BOOST_AUTO_TEST_CASE(an_evaluation_is_as_many_forwards_as_it_has_micro_batches) {
  Walk walk(generated("gpipe", 2, 1), 1, 1);
  walk.inbox.begin_round(round_at_hand + 1);
  walk.cursor.begin_round(Mode::evaluate, round_at_hand + 1, 3);
  for (std::uint32_t mb = 0; mb < 3; ++mb) {
    BOOST_CHECK(!walk.cursor.finished());
    walk.inbox.accept(Tokens{{1, 0, round_at_hand + 1, mb}, {}});
    walk.inbox.accept(Activation{{1, 0, round_at_hand + 1, mb}, Tensor()});
    BOOST_CHECK_EQUAL(walk.start_next(), fmt::format("1F{}", mb));
  }
  BOOST_CHECK(walk.cursor.finished());
}

BOOST_AUTO_TEST_CASE(a_new_round_finds_its_links_empty) {
  Walk walk(generated("gpipe", 2, 1), 0, 1);
  walk.inbox.accept(Tokens{walk.stamp(0), {}});
  walk.start_next();
  BOOST_CHECK_EQUAL(walk.cursor.credit_left(0, Link::activation), 0);
  walk.cursor.begin_round(Mode::train, round_at_hand + 1, 1);
  BOOST_CHECK_EQUAL(walk.cursor.credit_left(0, Link::activation), 1);
}

BOOST_AUTO_TEST_CASE(a_round_of_fewer_units_leaves_the_others_out) {
  Walk walk(generated("1f1b", 2, 4), 0, 4);
  walk.cursor.keep_units(2);
  std::string walked;
  for (const std::uint32_t mb : {0U, 1U}) {
    walk.inbox.accept(Tokens{walk.stamp(mb), {}});
    walk.inbox.accept(Gradient{walk.stamp(mb), Tensor()});
  }
  while (!walk.cursor.finished()) walked += walk.start_next() + " ";
  BOOST_CHECK_EQUAL(walked, "0F0 0F1 0B0 0B1 ");
}
