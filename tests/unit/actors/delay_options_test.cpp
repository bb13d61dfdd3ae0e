#define BOOST_TEST_MODULE delay_options
#include "actors/delay_options.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "actors/schedule/generators.hpp"
#include "actors/schedule/text_format.hpp"

namespace collie {
namespace {

Schedule made(std::string_view name, int ranks, int group = 0, int warm_up_steps = 0) {
  const ScheduleOptions options{
      .ranks = ranks, .micro_batches = 16, .group = group, .warm_up_steps = warm_up_steps};
  Result<Schedule> schedule = make_schedule(name, options);
  BOOST_REQUIRE(schedule.ok());
  return std::move(schedule).value();
}

std::vector<std::pair<int, int>> horizons(const Schedule& schedule) {
  std::vector<std::pair<int, int>> all;
  for (int stage = 0; stage < schedule.stages(); ++stage) {
    const DelayCorrectionOptions options = delay_options(schedule, stage);
    BOOST_CHECK(options.rule == DelayRule::prediction);
    all.emplace_back(options.forward_horizon, options.backward_horizon);
  }
  return all;
}

using Horizons = std::vector<std::pair<int, int>>;

BOOST_AUTO_TEST_CASE(horizons_are_the_papers) {
  BOOST_CHECK((horizons(made("spectrain", 4)) == Horizons{{3, 0}, {2, 0}, {2, 1}, {1, 1}}));
  BOOST_CHECK((horizons(made("spectrain", 4, 2)) == Horizons{{2, 0}, {1, 0}, {1, 1}, {1, 1}}));
  BOOST_CHECK((horizons(made("xpipe", 4)) == Horizons{{1, 0}, {1, 0}, {1, 1}, {1, 1}}));
  BOOST_CHECK((horizons(made("pipeoptim", 4)) == Horizons{{3, 0}, {2, 0}, {1, 0}, {0, 0}}));
  BOOST_CHECK(delay_options(made("xpipe", 4), 1).once_per_group);
  BOOST_CHECK(!delay_options(made("spectrain", 4), 1).once_per_group);
}

BOOST_AUTO_TEST_CASE(pipeoptim_reaches_as_far_as_the_contract_is_stale) {
  Schedule schedule = made("pipeoptim", 4);
  schedule.placement = Placement::wave(2, 2);
  schedule.contract.staleness = "ceil((S-1-s)/2)";
  BOOST_CHECK((horizons(schedule) == Horizons{{2, 0}, {1, 0}, {1, 0}, {0, 0}}));
  BOOST_CHECK(!delay_options(schedule, 1).at_places);
  schedule.programs[1].push_back({Verb::predict, 1});
  BOOST_CHECK(delay_options(schedule, 1).at_places);
  BOOST_CHECK(!delay_options(schedule, 1).backwards_read_predictions);
  BOOST_CHECK(!delay_options(schedule, 2).at_places);
  BOOST_CHECK(delay_options(made("spectrain", 4), 1).backwards_read_predictions);
}

BOOST_AUTO_TEST_CASE(pipemare_has_the_delays_of_the_contract) {
  const Schedule schedule = made("pipemare", 4, 0, 2);
  for (int stage = 0; stage < 4; ++stage) {
    const DelayCorrectionOptions options = delay_options(schedule, stage);
    BOOST_CHECK(options.rule == DelayRule::discrepancy);
    BOOST_CHECK_EQUAL(options.staleness, 2 * (3 - stage));
    BOOST_CHECK_EQUAL(options.mismatch, 2 * (3 - stage));
    BOOST_CHECK_EQUAL(options.warm_up_updates, 2);
    BOOST_CHECK_EQUAL(options.anneal_updates, 100);
  }
  BOOST_CHECK_EQUAL(delay_options(made("pipemare", 4, 4), 0).staleness, 2);
}

BOOST_AUTO_TEST_CASE(the_learning_rate_is_annealed_to_the_whole_one) {
  BOOST_CHECK_CLOSE(annealed_learning_rate(0.6, 4, 0, 100), 0.15, 1e-9);
  BOOST_CHECK_CLOSE(annealed_learning_rate(0.6, 4, 50, 100), 0.3, 1e-9);
  BOOST_CHECK_CLOSE(annealed_learning_rate(0.6, 4, 100, 100), 0.6, 1e-9);
  BOOST_CHECK_CLOSE(annealed_learning_rate(0.6, 4, 1000, 100), 0.6, 1e-9);
  BOOST_CHECK_CLOSE(annealed_learning_rate(0.6, 0, 0, 100), 0.6, 1e-9);
  BOOST_CHECK_CLOSE(annealed_learning_rate(0.6, 4, 0, 0), 0.6, 1e-9);
}

BOOST_AUTO_TEST_CASE(what_corrects_nothing_has_no_rule) {
  for (const char* name : {"1f1b", "pipedream", "pipedream-2bw", "paci"}) {
    BOOST_CHECK(delay_options(made(name, 4), 0).rule == DelayRule::none);
    BOOST_CHECK(check_correction(made(name, 4)).ok());
  }
}

BOOST_AUTO_TEST_CASE(a_correction_of_other_version_rules_is_refused) {
  for (const char* name : {"pipemare", "spectrain", "xpipe", "pipeoptim", "nesterov"}) {
    Schedule schedule = made(name, 4);
    BOOST_CHECK(check_correction(schedule).ok());
    schedule.versions.backward = VersionRule::vertical;
    BOOST_CHECK(!check_correction(schedule).ok());
  }
  Schedule schedule = made("pipedream", 4);
  schedule.versions.forward = VersionRule::predicted;
  const Status status = check_correction(schedule);
  BOOST_REQUIRE(!status.ok());
  BOOST_CHECK(status.error().message.find("names no correction") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_annealing_is_written_and_read) {
  Schedule schedule = made("pipemare", 4);
  BOOST_CHECK(to_text(schedule).find("anneal-steps") == std::string::npos);
  schedule.versions.anneal_steps = 7;
  const std::string text = to_text(schedule);
  BOOST_CHECK(text.find(" anneal-steps=7\n") != std::string::npos);
  const Result<Schedule> read = parse_schedule(text, "test");
  BOOST_REQUIRE(read.ok());
  BOOST_CHECK(*read == schedule);
  BOOST_CHECK_EQUAL(delay_options(*read, 0).anneal_updates, 7);
}

}  // namespace
}  // namespace collie
