#define BOOST_TEST_MODULE text_round_trip
#include <boost/test/unit_test.hpp>
#include <random>
#include <string>

#include "actors/schedule/text_format.hpp"
#include "tests/unit/actors/schedule/generated.hpp"

namespace collie {
namespace {

void check_round_trip(const Schedule& schedule) {
  for (const bool with_repeats : {false, true}) {
    const std::string text = to_text(schedule, {.with_repeats = with_repeats});
    const auto again = parse_schedule(text, schedule.name);
    if (!again.ok()) BOOST_FAIL(again.error().message << "\n" << text.substr(0, 2000));
    BOOST_TEST((*again == schedule), text.substr(0, 2000));
    BOOST_TEST(to_text(*again, {.with_repeats = with_repeats}) == text);
  }
}

class RandomSchedules {
 public:
  explicit RandomSchedules(unsigned seed) : engine_(seed) {}

  Schedule next() {
    Schedule schedule;
    const int ranks = below(6) + 1;
    switch (below(5)) {
      case 0:
        schedule.placement = Placement::linear(ranks);
        break;
      case 1:
        schedule.placement = Placement::looped(ranks, below(4) + 1);
        break;
      case 2:
        schedule.placement = Placement::wave(ranks, below(4) + 1);
        break;
      case 3:
        schedule.placement = Placement::bidirectional(ranks);
        break;
      default:
        schedule.placement = table(ranks);
        break;
    }
    schedule.name = name();
    schedule.micro_batches = below(40) + 1;
    schedule.slices = below(3) + 1;
    schedule.channel = {static_cast<ChannelKind>(below(3)), below(9)};
    schedule.versions = {static_cast<VersionRule>(below(5)),
                         static_cast<VersionRule>(below(5)),
                         static_cast<Correction>(below(6)),
                         below(5),
                         below(5),
                         100 + below(2)};
    if (below(2) == 0) schedule.contract = {below(2) == 0, "S - 1-s", "ceil(s/2)", "m"};
    schedule.programs.resize(static_cast<std::size_t>(ranks));
    for (auto& program : schedule.programs) fill(program, schedule);
    return schedule;
  }

 private:
  int below(int end) { return static_cast<int>(engine_() % static_cast<unsigned>(end)); }

  Placement table(int ranks) {
    std::vector<int> ranks_of;
    for (int rank = 0; rank < ranks; ++rank) ranks_of.push_back(rank);
    for (int i = below(5); i > 0; --i) ranks_of.push_back(below(ranks));
    std::shuffle(ranks_of.begin(), ranks_of.end(), engine_);
    return Placement::table(ranks, ranks_of).value();
  }
  std::string name() {
    std::string text;
    for (int i = below(8); i > 0; --i) text += static_cast<char>(below(256));
    return text;
  }
  // Runs of one period now and then, so that there is something to fold.
  void fill(std::vector<Action>& program, const Schedule& schedule) {
    while (below(8) != 0) {
      std::vector<Action> period;
      for (int i = below(4); i >= 0; --i) period.push_back(action(schedule));
      for (int round = below(3) == 0 ? below(12) : 0; round >= 0; --round) {
        for (Action& each : period) {
          program.push_back(each);
          if (has_micro_batch(each.verb) && each.micro_batch + 1 < schedule.micro_batches) {
            ++each.micro_batch;
          }
        }
      }
      if (below(3) == 0) {
        program.push_back(action(schedule));
        program.back().overlaps_next = true;
        program.push_back(action(schedule));
      }
    }
  }
  Action action(const Schedule& schedule) {
    Action action = {.verb = static_cast<Verb>(below(verb_count))};
    if (action.verb == Verb::fence) return action;
    action.stage = below(schedule.stages());
    action.direction = static_cast<signed char>(below(schedule.placement.directions()));
    const bool has_version = action.verb == Verb::pin || action.verb == Verb::drop;
    if (has_version) action.micro_batch = below(100);
    if (!has_micro_batch(action.verb)) return action;
    action.micro_batch = below(schedule.micro_batches);
    action.slice = static_cast<short>(below(schedule.slices));
    return action;
  }

  std::mt19937 engine_;
};

BOOST_AUTO_TEST_CASE(every_generated_schedule_reads_back_as_itself) {
  int count = 0;
  for (const ScheduleGenerator& generator : schedule_generators()) {
    for (const int ranks : {1, 2, 4, 8}) {
      for (const int micro_batches : {1, 8, 24}) {
        const int slices = generator.name == "seq1f1b" ? 2 : 1;
        const auto schedule = make_schedule(
            generator.name, {.ranks = ranks, .micro_batches = micro_batches, .slices = slices});
        if (!schedule.ok()) continue;
        BOOST_TEST_CONTEXT(generator.name << " " << ranks << " " << micro_batches) {
          check_round_trip(*schedule);
        }
        ++count;
      }
    }
  }
  BOOST_TEST(count > 100);
}

BOOST_AUTO_TEST_CASE(random_schedules_read_back_as_themselves) {
  RandomSchedules schedules(7);
  for (int i = 0; i < 2000; ++i) {
    BOOST_TEST_CONTEXT("random schedule " << i) {
      check_round_trip(schedules.next());
    }
  }
}

BOOST_AUTO_TEST_CASE(runs_are_folded_into_repeats) {
  const std::string text = to_text(generated("1f1b", 2, 100), {.with_repeats = true});
  BOOST_TEST(text.find("rank 0: 0F0 repeat k 0..98 { 0F{k+1} 0B{k} } 0B99 STEP0\n") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(lines_stay_within_100_columns) {
  const std::string text = to_text(generated("1f1b", 4, 500));
  std::size_t line_begin = 0;
  for (std::size_t end = text.find('\n'); end != text.npos; end = text.find('\n', line_begin)) {
    BOOST_TEST(end - line_begin <= 100U);
    line_begin = end + 1;
  }
}

// 1,000,000 actions and more; how long it takes is printed by --report_level=detailed, not judged.
BOOST_AUTO_TEST_CASE(a_million_actions_read_back) {
  const Schedule schedule = generated("1f1b", 128, 4096);
  BOOST_TEST(schedule.action_count() > 1'000'000U);
  check_round_trip(schedule);
}

}  // namespace
}  // namespace collie
