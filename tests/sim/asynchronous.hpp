// Runs of asynchronous schedules in both worlds against the sequential oracle.
#pragma once

#include <boost/test/unit_test.hpp>
#include <cstring>

#include "actors/schedule/validate.hpp"
#include "tests/sim/delayed_sgd.hpp"

namespace collie::testing {

inline int latest_at_forward(int s, int stages, int j, int group) {
  return std::max(0, j - (stages - 1 - s)) / group;
}
inline int latest_at_forward_pipemare(int s, int stages, int j, int group) {
  return std::max(0, j - 2 * (stages - 1 - s)) / group;
}
inline int latest_at_backward(int, int, int j, int group) {
  return j / group;
}
inline int of_the_slowest(int, int stages, int j, int) {
  return std::max(0, j - (stages - 1));
}
inline int group_before(int, int, int j, int group) {
  return std::max(0, j / group - 1);
}

inline const Rule pipedream{"pipedream", 1, latest_at_forward, latest_at_forward};
inline const Rule vertical_sync{"pipedream-vsync", 1, of_the_slowest, of_the_slowest};
inline const Rule double_buffered{"pipedream-2bw", 4, group_before, group_before};
inline const Rule local_steps{"paci", 4, latest_at_forward, latest_at_backward};
inline const Rule fine_grained{"pipemare", 1, latest_at_forward_pipemare, latest_at_backward,
                               Fix::pipemare};
inline const Rule velocity{"spectrain",     1,    latest_at_forward, latest_at_backward,
                           Fix::spec_train, "sgd"};
inline const Rule per_mini_batch{"xpipe", 4, latest_at_forward, latest_at_backward, Fix::xpipe};
inline const Rule own_direction{"pipeoptim", 1, latest_at_forward, latest_at_backward,
                                Fix::pipe_optim};
inline const Rule look_ahead{"nesterov",    1,    latest_at_forward, latest_at_forward,
                             Fix::nesterov, "sgd"};

inline TinyRun run_of(const Rule& rule, int ranks) {
  TinyRun run{.grid = {.pp = ranks}, .schedule = rule.schedule, .micro_batches = 16};
  run.group = rule.group == 1 ? 0 : rule.group;  // 0: the usual one
  run.optimizer = rule.optimizer;
  run.dtype = rule.dtype;
  run.warm_up_steps = rule.warm_up;
  return run;
}

inline Rule with(Rule rule, const char* optimizer) {
  rule.optimizer = optimizer;
  return rule;
}

inline void train_rounds(World& world, const TinyGrid& grid) {
  for (int step = 0; step < async_rounds; ++step) {
    RoundRequest request;
    request.step = step;
    request.micro_batches = grid.micro_batches();
    request.want_trace = true;
    request.learning_rate = async_rate(step);
    request.clip_norm = async_clip;
    const Result<RoundOutcome> outcome = world.round(request);
    BOOST_REQUIRE(outcome.ok());
    const Trace trace = rank_traces(grid.grid(), grid.schedule(), outcome->trace);
    BOOST_CHECK(check_conformance(grid.schedule(), trace).ok());
  }
}

inline void check_same(TinyGrid& grid, const DelayedSgd& oracle) {
  const Executors executors = grid.executors();
  for (std::size_t s = 0; s < executors.size(); ++s) {
    const Tensor& values = executors[s]->parameters().values();
    const auto wanted = oracle.values(s);
    BOOST_REQUIRE_EQUAL(values.size_bytes(), wanted.size_bytes());
    BOOST_CHECK_MESSAGE(std::memcmp(values.raw(), wanted.data(), wanted.size_bytes()) == 0,
                        "stage " << s << " differs");
  }
}

// The run, in both worlds, trains what the oracle does by the rule.
inline void check_run(TinyRun run, const Rule& rule, int stages, std::uint64_t seeds = 5) {
  DelayedSgd oracle(run, rule, stages);
  for (int step = 0; step < async_rounds; ++step) oracle.round(step);
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    TinyGrid grid(run);
    auto world =
        make_simulated_world(grid.options(), grid.executors(),
                             {.seed = seed, .duplicate_probability = 0.1, .reorder = true});
    train_rounds(*world, grid);
    check_same(grid, oracle);
  }
  run.inline_streams = false;
  TinyGrid grid(run);
  auto world = make_local_world(grid.options(), grid.executors(), 2);
  train_rounds(*world, grid);
  check_same(grid, oracle);
}

inline void check_rule(const Rule& rule, int ranks) {
  BOOST_TEST_CONTEXT(rule.schedule << " on " << ranks << " ranks") {
    check_run(run_of(rule, ranks), rule, ranks);
  }
}

// A schedule that is given, proved and accepted as a run would do; its rule says what the oracle
// does.
inline void check_given(const Schedule& schedule, const Rule& rule, std::uint64_t seeds = 3) {
  BOOST_TEST_CONTEXT(schedule.name << " on placement " << schedule.placement.describe()) {
    const Status proved = check_schedule(schedule);
    BOOST_REQUIRE_MESSAGE(proved.ok(), (proved.ok() ? "" : proved.error().message));
    const Status accepted = check_trainable(schedule);
    BOOST_REQUIRE_MESSAGE(accepted.ok(), (accepted.ok() ? "" : accepted.error().message));
    TinyRun run = run_of(rule, schedule.ranks());
    run.given = as_trained(schedule);
    run.micro_batches = schedule.micro_batches;
    run.layers = std::max(run.layers, schedule.stages());
    check_run(run, rule, schedule.stages(), seeds);
  }
}

}  // namespace collie::testing
