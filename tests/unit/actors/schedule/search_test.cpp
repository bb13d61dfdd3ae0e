#define BOOST_TEST_MODULE schedule_search
#include "actors/schedule/search.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/schedule/generated.hpp"

namespace collie {
namespace {

const SearchCandidate& find(const std::vector<SearchCandidate>& found, std::string_view name) {
  const auto at = std::find_if(found.begin(), found.end(), [&](const SearchCandidate& candidate) {
    return candidate.generator == name;
  });
  BOOST_REQUIRE(at != found.end());
  return *at;
}

// B takes twice F: 1F1B idles (p - 1)(T_F + T_B) of (m + p - 1)(T_F + T_B), and holds p
// micro-batches; GPipe idles the same and holds m; work is the same whatever the number of stages.
BOOST_AUTO_TEST_CASE(measures_closed_forms) {
  const auto found = search_schedules({.ranks = 4, .micro_batches = 8}).value();
  const SearchCandidate& gpipe = find(found, "gpipe");
  const SearchCandidate& one_f_one_b = find(found, "1f1b");
  BOOST_TEST(one_f_one_b.period == 33.0, boost::test_tools::tolerance(1e-9));
  BOOST_TEST(one_f_one_b.bubble == 3.0 / 11.0, boost::test_tools::tolerance(1e-9));
  BOOST_TEST(one_f_one_b.peak_memory == 4.0, boost::test_tools::tolerance(1e-9));
  BOOST_TEST(gpipe.period == 33.0, boost::test_tools::tolerance(1e-9));
  BOOST_TEST(gpipe.peak_memory == 8.0, boost::test_tools::tolerance(1e-9));
  BOOST_TEST(!gpipe.on_front);
  BOOST_TEST(std::any_of(found.begin(), found.end(), [](const SearchCandidate& candidate) {
    return candidate.generator == "interleaved" && candidate.options.group == 0 &&
           candidate.period < 33.0;
  }));
}

BOOST_AUTO_TEST_CASE(front_is_not_dominated_and_dominates_the_rest) {
  const auto found = search_schedules({.ranks = 4, .micro_batches = 8}).value();
  const auto beats = [](const SearchCandidate& a, const SearchCandidate& b) {
    return a.throughput >= b.throughput && a.peak_memory <= b.peak_memory &&
           a.staleness <= b.staleness;
  };
  for (const SearchCandidate& candidate : found) {
    if (!candidate.refused.empty()) continue;
    const bool beaten = std::any_of(found.begin(), found.end(), [&](const SearchCandidate& other) {
      return &other != &candidate && other.on_front && beats(other, candidate) &&
             !beats(candidate, other);
    });
    if (candidate.on_front) BOOST_TEST(!beaten, candidate.generator);
    if (!candidate.on_front) {
      BOOST_TEST(std::any_of(found.begin(), found.end(), [&](const SearchCandidate& other) {
        return other.on_front && other.throughput >= candidate.throughput * (1 - 1e-6) &&
               other.peak_memory <= candidate.peak_memory * (1 + 1e-6) &&
               other.staleness <= candidate.staleness;
      }));
    }
  }
  BOOST_TEST(found.front().on_front);
  BOOST_TEST(std::any_of(found.begin(), found.end(),
                         [](const SearchCandidate& candidate) { return candidate.staleness > 0; }));
}

BOOST_AUTO_TEST_CASE(memory_cap_and_synchronous_are_obeyed) {
  const auto found =
      search_schedules({.ranks = 4, .micro_batches = 8, .memory_cap = 5.0, .asynchronous = false})
          .value();
  for (const SearchCandidate& candidate : found) {
    if (!candidate.refused.empty()) continue;
    BOOST_TEST(candidate.peak_memory <= 5.0 + 1e-6, candidate.generator);
    BOOST_TEST(candidate.staleness == 0);
  }
  BOOST_TEST(find(found, "gpipe").refused.find("cap is 5") != std::string::npos);
  BOOST_TEST(!search_schedules({.ranks = 4, .micro_batches = 8, .memory_cap = 0.01}).ok());
  BOOST_TEST(!search_schedules({.ranks = 0, .micro_batches = 8}).ok());
}

BOOST_AUTO_TEST_CASE(groups_slices_and_memory_caps_are_tried) {
  const auto found = search_schedules({.ranks = 4, .micro_batches = 8}).value();
  const auto tries = [&](std::string_view name, const auto& is_wanted) {
    return std::any_of(found.begin(), found.end(), [&](const SearchCandidate& candidate) {
      return candidate.generator == name && candidate.refused.empty() &&
             is_wanted(candidate.options);
    });
  };
  BOOST_TEST(tries("interleaved", [](const auto& options) { return options.group == 2; }));
  BOOST_TEST(tries("paci", [](const auto& options) { return options.group == 2; }));
  BOOST_TEST(tries("seq1f1b", [](const auto& options) { return options.slices == 4; }));
  BOOST_TEST(tries("zb-auto", [](const auto& options) { return options.memory_cap == 2.0; }));
  // A smaller cap is a plan that holds less.
  for (const SearchCandidate& candidate : found) {
    if (candidate.generator != "zb-auto" || candidate.options.memory_cap == 0.0) continue;
    BOOST_TEST(candidate.peak_memory <= candidate.options.memory_cap + 1e-6);
  }
  const auto few = search_schedules({.ranks = 4, .micro_batches = 8, .groups = {2}}).value();
  BOOST_TEST(few.size() < found.size());
  const auto refused = search_schedules({.ranks = 4, .micro_batches = 8, .candidates_max = 10});
  BOOST_REQUIRE(!refused.ok());
  BOOST_TEST(refused.error().message.find("candidates are more than 10") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_row_says_how_to_make_it) {
  const ScheduleOptions options = {.ranks = 4, .micro_batches = 8, .chunks = 2};
  BOOST_TEST(arguments_of("interleaved", options) ==
             "interleaved --ranks 4 --micro-batches 8 --chunks 2");
  // One rank's share in two stages: half the time each.
  const CostModel costs =
      share_costs(generated("zbv", 4, 8), {.forward = 3.0}, {.activation = 5.0});
  BOOST_TEST(costs.stage(0).forward == 1.5);
  BOOST_TEST(costs.memory_of(0).activation == 2.5);
}

}  // namespace
}  // namespace collie
