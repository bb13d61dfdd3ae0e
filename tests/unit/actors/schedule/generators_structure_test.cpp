// What every generated program must be, whatever its arguments: checked without the validator.
#define BOOST_TEST_MODULE generators_structure
#include <boost/test/unit_test.hpp>
#include <random>

#include "tests/unit/actors/schedule/generated.hpp"
#include "tests/unit/actors/schedule/in_order.hpp"

using namespace collie;

namespace {

class Dice {
 public:
  int between(int low, int high) { return std::uniform_int_distribution(low, high)(engine_); }

 private:
  std::mt19937 engine_{20240607};
};

// Arguments that the schedule can take, small enough to walk.
ScheduleOptions arguments_for(std::string_view name, Dice& dice) {
  ScheduleOptions options{.ranks = dice.between(1, 9), .micro_batches = dice.between(1, 30)};
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::ranges::find(names, name) != names.end();
  };
  if (is({"interleaved", "interleaved-zb", "looped-bfs"})) options.chunks = dice.between(2, 5);
  if (is({"interleaved", "interleaved-zb"})) {
    options.group = dice.between(0, 2 * options.ranks + 1);
  }
  if (is({"dualpipev"})) options.micro_batches += 2 * options.ranks;
  if (is({"dualpipe", "chimera"})) {
    options.ranks += options.ranks % 2;
    options.micro_batches = 2 * (options.ranks + dice.between(0, 9));
  }
  if (is({"hanayo"})) options.chunks = 2 * dice.between(1, 4);
  if (is({"seq1f1b"})) options.slices = dice.between(1, 5);
  if (is({"pipedream", "pipemare", "spectrain", "xpipe", "pipeoptim", "nesterov", "paci"})) {
    options.group = dice.between(1, 5);
  }
  if (is({"pipedream-2bw"})) options.group = options.ranks + dice.between(0, 3);
  if (is({"pipemare"})) options.warm_up_steps = dice.between(0, 2);
  if (is({"pipedream", "pipedream-2bw", "pipemare", "spectrain", "xpipe", "pipeoptim", "nesterov",
          "paci"})) {
    options.micro_batches = options.group * dice.between(2, 6);
  }
  return options;
}

// How often each piece of work is done, by (letter, direction, stage, micro-batch, slice).
std::map<WorkKey, int> count_work(const Schedule& schedule) {
  std::map<WorkKey, int> counts;
  for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
    for (const Action& action : schedule.programs[rank]) {
      BOOST_REQUIRE_EQUAL(schedule.placement.rank_of(action.stage, action.direction), rank);
      if (action.verb == Verb::step) continue;
      const auto count = [&](char kind) {
        ++counts[{kind, action.direction, action.stage, action.micro_batch, action.slice}];
      };
      if (action.verb == Verb::forward) count('F');
      if (makes_input_gradient(action.verb)) count('I');
      if (makes_weight_gradient(action.verb)) count('W');
    }
  }
  return counts;
}

void check_each_unit_once(const Schedule& schedule) {
  const std::map<WorkKey, int> counts = count_work(schedule);
  const int directions = schedule.placement.directions();
  std::size_t units = 0;
  for (int mb = 0; mb < schedule.micro_batches; ++mb) {
    const int direction = directions == 2 && mb >= schedule.micro_batches / 2 ? 1 : 0;
    for (int stage = 0; stage < schedule.stages(); ++stage) {
      for (int slice = 0; slice < schedule.slices; ++slice) {
        for (const char kind : {'F', 'I', 'W'}) {
          const auto found = counts.find({kind, direction, stage, mb, slice});
          BOOST_REQUIRE(found != counts.end() && found->second == 1);
          ++units;
        }
      }
    }
  }
  BOOST_CHECK_EQUAL(counts.size(), units);
}

// Sums of gradients do not depend on the schedule only if they are made in one order.
void check_gradients_in_order(const Schedule& schedule) {
  for (const auto& program : schedule.programs) {
    std::map<std::pair<int, int>, int> last;
    for (const Action& action : program) {
      if (!makes_weight_gradient(action.verb)) continue;
      int& previous = last.try_emplace({action.stage, action.direction}, -1).first->second;
      BOOST_REQUIRE_GE(action.micro_batch, previous);
      previous = action.micro_batch;
    }
  }
}

void check_steps(const Schedule& schedule) {
  const int every =
      schedule.versions.step_every == 0 ? schedule.micro_batches : schedule.versions.step_every;
  for (const auto& program : schedule.programs) {
    std::map<std::pair<int, int>, int> gradients, steps;
    for (const Action& action : program) {
      const std::pair<int, int> stage(action.stage, action.direction);
      if (makes_weight_gradient(action.verb)) ++gradients[stage];
      if (action.verb != Verb::step) continue;
      const int all = ++steps[stage] * every * schedule.slices;
      BOOST_CHECK_EQUAL(gradients[stage] * schedule.placement.directions(), all);
    }
    BOOST_CHECK_EQUAL(steps.size(), gradients.size());
    for (const auto& [stage, count] : steps) {
      BOOST_CHECK_EQUAL(count, schedule.micro_batches / every);
    }
    BOOST_CHECK(program.back().verb == Verb::step);
  }
}

void check_pairs(const Schedule& schedule) {
  for (const auto& program : schedule.programs) {
    for (std::size_t i = 0; i < program.size(); ++i) {
      if (!program[i].overlaps_next) continue;
      BOOST_REQUIRE_LT(i + 1, program.size());
      BOOST_CHECK(program[i].verb == Verb::forward);
      BOOST_CHECK(program[i + 1].verb == Verb::backward && !program[i + 1].overlaps_next);
    }
  }
}

// Schedules that follow the costs they are given are tested elsewhere.
const std::vector<std::string_view> names = {
    "gpipe",          "1f1b",      "interleaved",     "looped-bfs",    "zb-h1",    "zb-h2",
    "interleaved-zb", "zbv",       "dualpipe",        "dualpipev",     "chimera",  "hanayo",
    "seq1f1b",        "pipedream", "pipedream-vsync", "pipedream-2bw", "pipemare", "spectrain",
    "xpipe",          "pipeoptim", "nesterov",        "paci"};

}  // namespace

BOOST_AUTO_TEST_CASE(every_program_is_complete_in_order_and_ends_with_its_credit) {
  Dice dice;
  for (const std::string_view name : names) {
    for (int i = 0; i < 40; ++i) {
      const ScheduleOptions options = arguments_for(name, dice);
      BOOST_TEST_CONTEXT(fmt::format(
          "{}: ranks {}, micro-batches {}, chunks {}, group {}, slices {}", name, options.ranks,
          options.micro_batches, options.chunks, options.group, options.slices)) {
        const Schedule schedule = generated(name, options);
        BOOST_CHECK_EQUAL(schedule.name, name);
        BOOST_CHECK_EQUAL(schedule.micro_batches, options.micro_batches);
        check_each_unit_once(schedule);
        check_gradients_in_order(schedule);
        check_steps(schedule);
        check_pairs(schedule);
        BOOST_CHECK(CreditWalk(schedule, schedule.channel.credit).run());
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(placements_are_those_of_the_papers) {
  const auto placement_of = [](std::string_view name) {
    return generated(name, 4, 8).placement.describe();
  };
  BOOST_CHECK_EQUAL(placement_of("zb-h2"), "linear");
  BOOST_CHECK_EQUAL(placement_of("interleaved"), "looped");
  BOOST_CHECK_EQUAL(placement_of("zbv"), "wave");
  BOOST_CHECK_EQUAL(placement_of("dualpipev"), "wave");
  BOOST_CHECK_EQUAL(placement_of("hanayo"), "wave");
  BOOST_CHECK_EQUAL(placement_of("chimera"), "bidirectional");
}

BOOST_AUTO_TEST_CASE(credits_are_those_of_the_reference) {
  // The least with which the program ends, RECV right before its reader and SEND right behind its
  // maker, messages found by tag: on 4 ranks with 8 micro-batches and on 8 with 24.
  struct Row {
    std::string_view name;
    int chunks, of_4, of_8;
  };
  for (const Row& row : {Row{"1f1b", 0, 1, 1},
                         {"zb-h1", 0, 1, 1},
                         {"zb-h2", 0, 1, 1},
                         {"interleaved", 2, 1, 1},
                         {"interleaved", 4, 1, 1},
                         {"chimera", 0, 1, 1},
                         {"looped-bfs", 2, 2, 3},
                         {"zbv", 0, 2, 2},
                         {"dualpipev", 0, 2, 2},
                         {"dualpipe", 0, 2, 2}}) {
    const auto credit = [&](int ranks, int micro_batches) {
      return least_credit(generated(
          row.name, {.ranks = ranks, .micro_batches = micro_batches, .chunks = row.chunks}));
    };
    BOOST_TEST_CONTEXT(row.name) {
      BOOST_CHECK_EQUAL(credit(4, 8), row.of_4);
      BOOST_CHECK_EQUAL(credit(8, 24), row.of_8);
    }
  }
}

BOOST_AUTO_TEST_CASE(every_group_size_and_every_rest_ends) {
  for (const std::string_view name : {"interleaved", "interleaved-zb"}) {
    for (const int ranks : {2, 3, 5, 8}) {
      for (int group = 1; group <= 2 * ranks + 1; ++group) {
        for (int micro_batches = 1; micro_batches <= 2 * ranks + 3; ++micro_batches) {
          const Schedule schedule = generated(
              name, {.ranks = ranks, .micro_batches = micro_batches, .chunks = 3, .group = group});
          BOOST_TEST_CONTEXT(fmt::format("{} p {} g {} m {}", name, ranks, group, micro_batches)) {
            BOOST_CHECK(CreditWalk(schedule, schedule.channel.credit).run());
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(looped_breadth_first_needs_credit_for_its_whole_chunks) {
  for (const auto& [ranks, micro_batches] : {std::pair{2, 12}, {3, 16}, {4, 4}, {8, 40}}) {
    const Schedule schedule = generated("looped-bfs", ranks, micro_batches);
    const int least = least_credit(schedule);
    BOOST_CHECK_EQUAL(least, std::max(1, micro_batches / ranks));
    BOOST_CHECK_GE(schedule.channel.credit, std::max(2, least));
  }
}

BOOST_AUTO_TEST_CASE(a_thousand_ranks_and_four_thousand_micro_batches_are_made) {
  const Schedule schedule = generated("1f1b", 1024, 4096);
  BOOST_CHECK_EQUAL(schedule.action_count(), 1024u * (2 * 4096 + 1));
}
