#define BOOST_TEST_MODULE schedule_validate
#include "actors/schedule/validate.hpp"

#include <algorithm>

#include "actors/schedule/lowering.hpp"
#include "tests/unit/actors/schedule/generated.hpp"
#include "tests/unit/actors/schedule/violations.hpp"

using namespace collie;

namespace {

using Program = std::vector<Action>;

Program::iterator find(Program& program, std::string_view text) {
  const auto found =
      std::ranges::find_if(program, [&](const Action& a) { return to_string(a) == text; });
  BOOST_REQUIRE_MESSAGE(found != program.end(), std::string(text));
  return found;
}

void swap(Program& program, std::string_view a, std::string_view b) {
  std::iter_swap(find(program, a), find(program, b));
}

void remove(Program& program, std::string_view text) {
  program.erase(find(program, text));
}

void insert_before(Program& program, std::string_view text, const Action& action) {
  program.insert(find(program, text), action);
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_generated_schedule_is_proved) {
  for (const ScheduleGenerator& generator : schedule_generators()) {
    Schedule schedule = generated(generator.name, 4, 8);
    schedule.channel.credit = 8;
    check_valid(schedule);
  }
}

BOOST_AUTO_TEST_CASE(evaluation_needs_no_backward) {
  check_valid(forward_only(Placement::wave(3, 2), 5));
}

BOOST_AUTO_TEST_CASE(a_missing_action_is_named) {
  Schedule schedule = generated("zb-h1", 2, 4);
  Schedule without = schedule;
  remove(without.programs[1], "1F2");
  check_violates(without, Invariant::completeness, {"stage 1 micro-batch 2", "add 1F2 to rank 1"});
  without = schedule;
  remove(without.programs[1], "1W3");
  check_violates(without, Invariant::completeness, {"1I3", "add 1W3 to rank 1"});
  without = schedule;
  remove(without.programs[0], "0I1");
  check_violates(without, Invariant::completeness, {"0W1", "add 0I1 to rank 0"});
  without = generated("1f1b", 2, 4);
  remove(without.programs[0], "0B3");
  check_violates(without, Invariant::completeness,
                 {"stage 0 micro-batch 3 has no backward", "0B3"});
}

BOOST_AUTO_TEST_CASE(an_action_too_many_is_named) {
  Schedule schedule = generated("1f1b", 2, 4);
  schedule.programs[1].push_back({Verb::forward, 1, 2});
  check_violates(schedule, Invariant::completeness,
                 {"stage 1 micro-batch 2 happens twice", "rank 1 does 1F2 as action 5 of 10",
                  "action 10 of 10"});
  schedule = generated("1f1b", 2, 4);
  schedule.programs[1].push_back({Verb::backward_weight, 1, 2});
  check_violates(schedule, Invariant::completeness, {"twice", "1B2", "1W2"});
}

BOOST_AUTO_TEST_CASE(wrong_counts_are_named) {
  Schedule schedule = generated("gpipe", 2, 4);
  schedule.micro_batches = 3;
  check_violates(schedule, Invariant::completeness, {"0F3", "micro-batches 0 to 2"});
  schedule.micro_batches = 5;
  check_violates(schedule, Invariant::completeness, {"stage 0 micro-batch 4 has no forward"});
  schedule.micro_batches = 1 << 30;  // must not be allocated
  check_violates(schedule, Invariant::completeness, {"need 2147483648 forwards", "have 8"});
  schedule.micro_batches = 0;
  check_violates(schedule, Invariant::completeness, {"has to be 1 or more"});
  schedule = generated("gpipe", 2, 4);
  schedule.slices = 40'000;  // more than an action can name
  check_violates(schedule, Invariant::completeness, {"40000 slices"});
  schedule = generated("gpipe", 2, 4);
  schedule.programs.pop_back();
  check_violates(schedule, Invariant::completeness, {"1 programs for 2 ranks"});
}

BOOST_AUTO_TEST_CASE(a_micro_batch_stays_in_one_direction) {
  Schedule schedule = generated("chimera", 4, 4);
  Action& action = *std::ranges::find(schedule.programs[2], Verb::forward, &Action::verb);
  action.direction = action.direction == 0 ? 1 : 0;
  check_violates(schedule, Invariant::completeness, {"a micro-batch stays in one"});
}

BOOST_AUTO_TEST_CASE(a_stage_on_two_ranks_is_named) {
  Schedule schedule = generated("1f1b", 2, 4);
  remove(schedule.programs[0], "0F3");
  insert_before(schedule.programs[1], "1F3", {Verb::forward, 0, 3});
  check_violates(schedule, Invariant::placement,
                 {"rank 1 does 0F3", "stage 0 is on rank 0 (placement linear)"});
}

BOOST_AUTO_TEST_CASE(order_within_a_rank_is_checked) {
  Schedule schedule = generated("1f1b", 2, 2);
  swap(schedule.programs[1], "1F0", "1B0");
  check_violates(schedule, Invariant::dependencies, {"rank 1 does 1B0", "before 1F0 (action 2)"});
  schedule = generated("zb-h1", 2, 4);
  swap(schedule.programs[0], "0I0", "0W0");
  check_violates(schedule, Invariant::dependencies, {"0W0", "its input gradient"});
  schedule = generated("seq1f1b", {.ranks = 2, .micro_batches = 4, .slices = 2});
  swap(schedule.programs[0], "0F1", "0F1.1");
  check_violates(schedule, Invariant::dependencies, {"the slice before it"});
  schedule = generated("zbv", 2, 4);
  swap(schedule.programs[1], "1F0", "2F0");  // both on the rank where the V turns
  check_violates(schedule, Invariant::dependencies, {"2F0", "the stage before it"});
  schedule = generated("gpipe", 2, 2);
  insert_before(schedule.programs[0], "0F1", {Verb::recompute, 0, 1});
  check_violates(schedule, Invariant::dependencies, {"0R1", "its forward"});
  schedule = lower(generated("gpipe", 2, 2));
  swap(schedule.programs[0], "0SEND_F1", "0F1");
  check_violates(schedule, Invariant::dependencies, {"0SEND_F1", "what makes its value"});
}

BOOST_AUTO_TEST_CASE(written_messages_pair_up) {
  const Schedule lowered = lower(generated("1f1b", 2, 2));
  check_valid(lowered);
  Schedule schedule = lowered;
  remove(schedule.programs[0], "0SEND_F1");
  check_violates(schedule, Invariant::channels, {"1F1", "rank 0 never does 0SEND_F1"});
  schedule = lowered;
  remove(schedule.programs[0], "0RECV_B1");
  check_violates(schedule, Invariant::channels, {"1SEND_B1", "rank 0 never does 0RECV_B1"});
  schedule = lowered;
  schedule.programs[0].push_back({Verb::send_activation, 0, 1});
  check_violates(schedule, Invariant::channels, {"a message travels once"});
  schedule = lowered;
  swap(schedule.programs[1], "1RECV_F1", "1F1");
  check_violates(schedule, Invariant::channels, {"1RECV_F1", "behind its reader 1F1"});
  schedule = lowered;
  schedule.programs[1].push_back({Verb::send_activation, 1, 1});
  check_violates(schedule, Invariant::channels, {"1SEND_F1", "no neighbour"});
  schedule = lower(generated("zbv", 2, 4));
  insert_before(schedule.programs[1], "2F0", {Verb::receive_activation, 2, 0});
  check_violates(schedule, Invariant::channels, {"stages 1 and 2 are both on rank 1"});
}

BOOST_AUTO_TEST_CASE(collectives_have_all_their_ranks) {
  Schedule schedule = generated("gpipe", 2, 2);
  schedule.programs[1].push_back({.verb = Verb::fence});
  check_violates(schedule, Invariant::channels, {"rank 0 has 0 FENCEs and rank 1 has 1"});
  schedule.programs[0].push_back({.verb = Verb::fence});
  check_valid(schedule);
  schedule = lower(generated("chimera", 2, 2));
  remove(schedule.programs[1], "REDUCE_GRAD0~");
  check_violates(schedule, Invariant::channels, {"REDUCE_GRAD0", "both have to take part"});
}

BOOST_AUTO_TEST_CASE(memory_is_counted_from_the_order) {
  const Schedule schedule = generated("1f1b", 4, 8);
  BOOST_CHECK_EQUAL(validate(schedule).peak_activations[0], 4.0);
  BOOST_CHECK_EQUAL(validate(schedule).peak_activations[3], 1.0);
  check_valid(schedule, {.memory_cap = 4.0});
  check_violates(schedule, Invariant::memory,
                 {"rank 0 holds the activations of 4 micro-batches at 0F3", "cap is 3"},
                 {.memory_cap = 3.0});
  // Two chunks of a rank share its layers.
  BOOST_CHECK_EQUAL(validate(generated("zbv", 4, 8)).peak_activations[0], 4.0);
  BOOST_CHECK_EQUAL(validate(generated("dualpipev", 4, 8)).peak_activations[0], 4.5);
}

BOOST_AUTO_TEST_CASE(a_cap_that_nothing_fits_is_impossible) {
  const Validation validation = validate(generated("1f1b", 2, 4), {.memory_cap = 0.5});
  BOOST_CHECK_EQUAL(names_of(validation), "memory, progress");
  BOOST_TEST(validation.violations.back().sentence.find("impossible") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(synchronous_steps_take_all_gradients_once) {
  const Schedule valid = generated("1f1b", 2, 4);
  Schedule schedule = valid;
  remove(schedule.programs[1], "STEP1");
  check_violates(schedule, Invariant::sync_equivalence, {"stage 1 has no STEP", "rank 1"});
  schedule = valid;
  schedule.programs[1].push_back({Verb::step, 1});
  check_violates(schedule, Invariant::sync_equivalence, {"STEP1 twice"});
  schedule = valid;
  schedule.versions.step_every = 2;
  check_violates(schedule, Invariant::sync_equivalence, {"STEPs come every 2 micro-batches"});
  schedule = generated("zb-h1", 2, 4);
  swap(schedule.programs[0], "0W3", "STEP0");
  BOOST_TEST(names_of(validate(schedule)) == "version consistency, sync equivalence");
}

BOOST_AUTO_TEST_CASE(replicas_are_reduced_before_the_step) {
  Schedule schedule = lower(generated("chimera", 2, 2));
  const Action step = *find(schedule.programs[0], "STEP0");
  remove(schedule.programs[0], "STEP0");
  insert_before(schedule.programs[0], "REDUCE_GRAD0", step);
  check_violates(schedule, Invariant::sync_equivalence, {"STEP0", "REDUCE_GRAD0 has to come"});
}

BOOST_AUTO_TEST_CASE(gradients_add_up_in_order) {
  Schedule schedule = generated("gpipe", 1, 3);
  swap(schedule.programs[0], "0B1", "0B2");
  check_violates(schedule, Invariant::determinism,
                 {"rank 0 adds the gradient of 0B1 behind that of micro-batch 2"});
}

BOOST_AUTO_TEST_CASE(check_schedule_says_the_first_in_one_line) {
  Schedule schedule = generated("1f1b", 1, 2);
  remove(schedule.programs[0], "0B0");
  const Status status = check_schedule(schedule);
  BOOST_REQUIRE(!status.ok());
  BOOST_TEST(status.error().message.find("schedule 1f1b: stage 0 micro-batch 0 has no backward") ==
             0U);
  BOOST_TEST(status.error().message.find('\n') == std::string::npos);
}
