#define BOOST_TEST_MODULE text_format
#include "actors/schedule/text_format.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/unit/actors/schedule/generated.hpp"

namespace collie {
namespace {

Schedule read(const std::string& text) {
  return parse_schedule("schedule 1 ranks 2 placement linear micro-batches 8\n" + text, "t")
      .value();
}
std::string words(const std::vector<Action>& program) {
  std::string text;
  for (const Action& action : program) {
    text += (text.empty() ? "" : " ") + to_string(action) + (action.overlaps_next ? "&" : "");
  }
  return text;
}
std::string rank_0(const std::string& text) {
  return words(read("rank 0: " + text).programs[0]);
}

BOOST_AUTO_TEST_CASE(the_header_says_everything_but_the_programs) {
  const Schedule schedule = parse_schedule(R"(# A comment
    schedule 1   name "two \"words\"\x0a\\"   # and another
    ranks 4 stages 8
    placement looped 2
    micro-batches 6 slices 3
    channel fifo credit=5
    versions forward=previous-group backward=vertical correction=pipe-optim step-every=2 warm-up=3
    contract staleness=S-1-s mismatch={ 0 } versions=max(1,P-s))",
                                           "t")
                                .value();
  BOOST_TEST(schedule.name == "two \"words\"\n\\");
  BOOST_TEST((schedule.placement == Placement::looped(4, 2)));
  BOOST_TEST(schedule.micro_batches == 6);
  BOOST_TEST(schedule.slices == 3);
  BOOST_TEST((schedule.channel == Channel{ChannelKind::fifo, 5}));
  BOOST_TEST((schedule.versions == Versions{VersionRule::previous_group, VersionRule::vertical,
                                            Correction::pipe_optim, 2, 3}));
  BOOST_TEST((schedule.contract == Contract{false, "S-1-s", " 0 ", "max(1,P-s)"}));
  BOOST_TEST(schedule.programs.size() == 4);
  BOOST_TEST(schedule.action_count() == 0);
}

BOOST_AUTO_TEST_CASE(what_is_not_said_is_the_default) {
  const Schedule schedule = read("");
  const Schedule expected = {.placement = Placement::linear(2), .micro_batches = 8};
  BOOST_TEST((schedule.contract == expected.contract));
  BOOST_TEST((schedule.versions == expected.versions));
  BOOST_TEST((schedule.channel == expected.channel));
  BOOST_TEST(read("channel rendezvous").channel.credit == 0);
}

BOOST_AUTO_TEST_CASE(every_placement_has_its_word) {
  const auto placed = [](const std::string& text) {
    return parse_schedule("schedule 1 ranks 2 micro-batches 1 placement " + text, "t")
        .value()
        .placement;
  };
  BOOST_TEST((placed("linear") == Placement::linear(2)));
  BOOST_TEST((placed("looped 3") == Placement::looped(2, 3)));
  BOOST_TEST((placed("wave 4") == Placement::wave(2, 4)));
  BOOST_TEST((placed("bidirectional") == Placement::bidirectional(2)));
  BOOST_TEST((placed("table 0, 1,1 ,0") == Placement::table(2, {0, 1, 1, 0}).value()));
}

BOOST_AUTO_TEST_CASE(actions_are_what_to_string_prints) {
  for (int verb = 0; verb < verb_count; ++verb) {
    Action action = {.verb = static_cast<Verb>(verb)};
    if (action.verb != Verb::fence) action.stage = 1;
    if (has_micro_batch(action.verb)) action.slice = 2;
    if (action.slice == 2 || action.verb == Verb::pin || action.verb == Verb::drop) {
      action.micro_batch = 5;
    }
    if (action.verb != Verb::fence) action.direction = 1;
    const auto schedule = parse_schedule(
        "schedule 1 ranks 2 placement bidirectional micro-batches 8 slices 3 rank 1: " +
            to_string(action),
        "t");
    BOOST_REQUIRE(schedule.ok());
    BOOST_TEST((schedule->programs[1] == std::vector<Action>{action}), to_string(action));
  }
}

BOOST_AUTO_TEST_CASE(an_expression_stands_wherever_a_number_stands) {
  BOOST_TEST(rank_0("{r+1}F{m-1} PIN{S-1}.{M/2} DROP1.4 FENCE") == "1F7 PIN1.4 DROP1.4 FENCE");
  BOOST_TEST(rank_0("(0F{1+1};1B0)0W3") == "0F2& 1B0 0W3");
  BOOST_TEST(rank_0("( 0F4 ; 1B0 )") == "0F4& 1B0");
}

BOOST_AUTO_TEST_CASE(a_repeat_runs_its_body_for_each_value) {
  BOOST_TEST(rank_0("0F0 repeat k 0..2 { 0F{k+1} 0B{k} } 0B3") ==
             "0F0 0F1 0B0 0F2 0B1 0F3 0B2 0B3");
  BOOST_TEST(rank_0("repeat i 0..1 {repeat k {i}..1 {{i}F{k}}}") == "0F0 0F1 1F1");
  BOOST_TEST(rank_0("0F0 repeat k 3..2 { { not # read }\n } } 0B0") == "0F0 0B0");
  BOOST_TEST(rank_0("repeat k 0..1 { 0F{k} } repeat k 0..1 { 0B{k} }") == "0F0 0F1 0B0 0B1");
}

BOOST_AUTO_TEST_CASE(several_ranks_share_a_text) {
  const Schedule schedule = read("rank 0..{P-1}: {r}F0\n# all\nrank 1: 1B0 rank 0..1: STEP{r}");
  BOOST_TEST(words(schedule.programs[0]) == "0F0 STEP0");
  BOOST_TEST(words(schedule.programs[1]) == "1F0 1B0 STEP1");
}

BOOST_AUTO_TEST_CASE(the_micro_batches_of_a_step_are_m) {
  const Schedule schedule = read("versions step-every=2 rank 0: repeat k 0..{M/m-1} { 0F{k*m} }");
  BOOST_TEST(words(schedule.programs[0]) == "0F0 0F2 0F4 0F6");
}

BOOST_AUTO_TEST_CASE(one_f_one_b_by_hand_is_the_generated_one) {
  const Schedule hand = parse_schedule(R"(schedule 1
      name 1f1b  ranks 4  placement linear  micro-batches 8
      rank 0..3:
        repeat k 0..{P-2-r} { {r}F{k} }
        repeat k {P-1-r}..{m-1} { {r}F{k} {r}B{k-P+1+r} }
        repeat k {m-P+1+r}..{m-1} { {r}B{k} }
        STEP{r})",
                                       "t")
                            .value();
  BOOST_TEST((hand == generated("1f1b", 4, 8)));
}

}  // namespace
}  // namespace collie
