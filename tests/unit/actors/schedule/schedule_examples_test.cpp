// The schedule files that come with the project.
#define BOOST_TEST_MODULE schedule_examples
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <tuple>

#include "actors/schedule/text_format.hpp"
#include "actors/schedule/validate.hpp"
#include "tests/unit/actors/schedule/generated.hpp"

namespace collie {
namespace {

const std::filesystem::path folder = COLLIE_TESTS_DIR "/../configs/schedules";

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  BOOST_REQUIRE(file.is_open());
  return {std::istreambuf_iterator<char>(file), {}};
}
Schedule example(const std::string& name) {
  const auto path = folder / (name + ".schedule");
  return parse_schedule(content_of(path), path.filename().string()).value();
}

// Runs the programs in order, messages unbounded: the actions that never get their input.
std::size_t stuck_actions(const Schedule& schedule) {
  std::set<std::tuple<bool, int, int, int>> made;  // is a gradient; stage, direction, micro-batch
  std::vector<std::size_t> at(schedule.programs.size());
  std::size_t left = schedule.action_count();
  for (bool moved = true; moved;) {
    moved = false;
    for (std::size_t rank = 0; rank < at.size(); ++rank) {
      while (at[rank] < schedule.programs[rank].size()) {
        const Action& action = schedule.programs[rank][at[rank]];
        const auto has = [&](bool is_gradient, int stage) {
          return made.contains({is_gradient, stage, action.direction, action.micro_batch});
        };
        const bool is_forward = action.verb == Verb::forward;
        if (is_forward && action.stage > 0 && !has(false, action.stage - 1)) break;
        if (makes_input_gradient(action.verb) &&
            (!has(false, action.stage) ||
             (action.stage + 1 < schedule.stages() && !has(true, action.stage + 1)))) {
          break;
        }
        if (action.verb == Verb::backward_weight && !has(true, action.stage)) break;
        if (is_forward || makes_input_gradient(action.verb)) {
          made.insert({!is_forward, action.stage, action.direction, action.micro_batch});
        }
        ++at[rank];
        --left;
        moved = true;
      }
    }
  }
  return left;
}

BOOST_AUTO_TEST_CASE(every_example_runs_and_is_valid) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().stem().string();
    BOOST_TEST_CONTEXT(name) {
      const auto schedule = parse_schedule(content_of(entry.path()), name);
      if (!schedule.ok()) BOOST_FAIL(schedule.error().message);
      BOOST_TEST(stuck_actions(*schedule) == 0U);
      const Status status = check_schedule(*schedule);
      BOOST_TEST(status.ok(), (status.ok() ? "" : status.error().message));
      BOOST_TEST((parse_schedule(to_text(*schedule), name).value() == *schedule));
    }
    ++count;
  }
  BOOST_TEST(count >= 8);
}

BOOST_AUTO_TEST_CASE(those_written_by_hand_are_the_published_ones) {
  BOOST_TEST((example("1f1b").programs == generated("1f1b", 4, 8).programs));
  BOOST_TEST((example("zb-h1").programs == generated("zb-h1", 4, 8).programs));
  const Schedule pipedream = generated("pipedream", 4, 16);
  BOOST_TEST((example("pipedream").programs == pipedream.programs));
  BOOST_TEST((example("pipedream").versions == pipedream.versions));
  BOOST_TEST((example("pipedream").contract == pipedream.contract));
  const Schedule grouped =
      generated("pipedream-2bw", {.ranks = 4, .micro_batches = 16, .group = 4});
  BOOST_TEST((example("pipedream-2bw").programs == grouped.programs));
  BOOST_TEST((example("pipedream-2bw").versions == grouped.versions));
}

}  // namespace
}  // namespace collie
