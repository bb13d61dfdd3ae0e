// A trace that follows its schedule passes; each way of not following it is found and named.
#define BOOST_TEST_MODULE conformance
#include "actors/schedule/conformance.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;

namespace {

// 1F1B of two ranks and two micro-batches, one action a tick, each after its inputs.
Trace followed() {
  const Schedule schedule = generated("1f1b", 2, 2);
  const std::vector<std::vector<double>> begins = {{0, 1, 3, 5, 6}, {1, 2, 3, 4, 5}};
  Trace trace(2);
  for (std::size_t rank = 0; rank < 2; ++rank) {
    for (std::size_t at = 0; at < schedule.programs[rank].size(); ++at) {
      const double begin = begins[rank][at];
      trace[rank].push_back(
          {schedule.programs[rank][at], static_cast<int>(at), begin, begin + 1.0});
    }
  }
  return trace;
}

std::string verdict(const Trace& trace) {
  const Status status = check_conformance(generated("1f1b", 2, 2), trace);
  return status ? "ok" : status.error().message;
}

void expect(const Trace& trace, const std::string& words) {
  BOOST_TEST_CONTEXT(words) {
    BOOST_TEST(verdict(trace).find(words) != std::string::npos);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_trace_of_the_program_passes) {
  BOOST_TEST(verdict(followed()) == "ok");
}

BOOST_AUTO_TEST_CASE(a_fence_waits_for_all_ranks) {
  Schedule schedule = generated("1f1b", 2, 2);
  Trace trace = followed();
  // Behind the first backward of either rank: 0B0 ends at 4, 1B0 at 3.
  schedule.programs[0].insert(schedule.programs[0].begin() + 3, {Verb::fence});
  schedule.programs[1].insert(schedule.programs[1].begin() + 2, {Verb::fence});
  for (const std::size_t rank : {0U, 1U}) {
    auto& done = trace[rank];
    const std::size_t at = rank == 0 ? 3 : 2;
    for (std::size_t i = at; i < done.size(); ++i) {
      done[i].begin_s += 10.0;
      done[i].end_s += 10.0;
    }
    done.insert(done.begin() + static_cast<std::ptrdiff_t>(at), {{Verb::fence}, 0, 4.0, 4.0});
  }
  BOOST_TEST(check_conformance(schedule, trace).ok());
  trace[1][2].begin_s = trace[1][2].end_s = 3.5;
  const Status early = check_conformance(schedule, trace);
  BOOST_REQUIRE(!early.ok());
  BOOST_TEST(early.error().message.find("rank 1 passed FENCE 1 at 3.5") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(another_order_is_found) {
  Trace trace = followed();
  std::swap(trace[0][1], trace[0][2]);
  expect(trace, "rank 0 did 0B0 where its program has 0F1 (action 2)");
}

BOOST_AUTO_TEST_CASE(a_missing_and_a_surplus_action_are_found) {
  Trace trace = followed();
  trace[1].pop_back();
  expect(trace, "rank 1 did not do STEP1, action 5 of its program");
  trace = followed();
  trace[1].push_back(trace[1].back());
  trace[1].back().begin_s += 1.0;
  trace[1].back().end_s += 1.0;
  expect(trace, "rank 1 did STEP1 after the end of its program");
}

BOOST_AUTO_TEST_CASE(an_action_before_its_input_is_found) {
  Trace trace = followed();
  trace[0][2].begin_s = 2.5;  // 0B0, whose gradient is there at 3
  expect(trace, "rank 0 began 0B0 at 2.5");
  expect(trace, "before 1B0 on rank 1 ended at 3.0");
}

BOOST_AUTO_TEST_CASE(two_actions_at_once_on_a_rank_are_found) {
  Trace trace = followed();
  trace[1][1].end_s = 3.5;
  expect(trace, "rank 1 began 1F1 before 1B0 had ended");
}

BOOST_AUTO_TEST_CASE(a_rank_too_few_is_found) {
  Trace trace = followed();
  trace.pop_back();
  expect(trace, "the trace has 1 ranks, the schedule 2");
}
