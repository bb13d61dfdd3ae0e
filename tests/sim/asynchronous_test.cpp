// Asynchronous schedules against delayed SGD written down sequentially: one micro-batch after the
// other, each stage's forward and backward with the versions that the paper says, to the last bit.
#define BOOST_TEST_MODULE asynchronous
#include <boost/test/unit_test.hpp>
#include <cstring>

#include "tests/sim/delayed_sgd.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

int latest_at_forward(int s, int stages, int j, int group) {
  return std::max(0, j - (stages - 1 - s)) / group;
}
int latest_at_forward_pipemare(int s, int stages, int j, int group) {
  return std::max(0, j - 2 * (stages - 1 - s)) / group;
}
int latest_at_backward(int, int, int j, int group) {
  return j / group;
}
int of_the_slowest(int, int stages, int j, int) {
  return std::max(0, j - (stages - 1));
}
int group_before(int, int, int j, int group) {
  return std::max(0, j / group - 1);
}

const Rule pipedream{"pipedream", 1, latest_at_forward, latest_at_forward};
const Rule vertical_sync{"pipedream-vsync", 1, of_the_slowest, of_the_slowest};
const Rule double_buffered{"pipedream-2bw", 4, group_before, group_before};
const Rule local_steps{"paci", 4, latest_at_forward, latest_at_backward};
const Rule fine_grained{"pipemare", 1, latest_at_forward_pipemare, latest_at_backward,
                        Fix::pipemare};
const Rule velocity{"spectrain", 1, latest_at_forward, latest_at_backward, Fix::spec_train, "sgd"};
const Rule per_mini_batch{"xpipe", 4, latest_at_forward, latest_at_backward, Fix::xpipe};
const Rule own_direction{"pipeoptim", 1, latest_at_forward, latest_at_backward, Fix::pipe_optim};
const Rule look_ahead{"nesterov", 1, latest_at_forward, latest_at_forward, Fix::nesterov, "sgd"};

TinyRun run_of(const Rule& rule, int ranks) {
  TinyRun run{.grid = {.pp = ranks}, .schedule = rule.schedule, .micro_batches = 16};
  run.group = rule.group == 1 ? 0 : rule.group;  // 0: the usual one
  run.optimizer = rule.optimizer;
  run.dtype = rule.dtype;
  run.warm_up_steps = rule.warm_up;
  return run;
}

Rule with(Rule rule, const char* optimizer) {
  rule.optimizer = optimizer;
  return rule;
}

void train_rounds(World& world, const TinyGrid& grid) {
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

void check_same(TinyGrid& grid, const DelayedSgd& oracle) {
  const Executors executors = grid.executors();
  for (std::size_t s = 0; s < executors.size(); ++s) {
    const Tensor& values = executors[s]->parameters().values();
    const auto wanted = oracle.values(s);
    BOOST_REQUIRE_EQUAL(values.size_bytes(), wanted.size_bytes());
    BOOST_CHECK_MESSAGE(std::memcmp(values.raw(), wanted.data(), wanted.size_bytes()) == 0,
                        "stage " << s << " differs");
  }
}

void check_rule(const Rule& rule, int ranks) {
  BOOST_TEST_CONTEXT(rule.schedule << " on " << ranks << " ranks") {
    TinyRun run = run_of(rule, ranks);
    DelayedSgd oracle(run, rule);
    for (int step = 0; step < async_rounds; ++step) oracle.round(step);
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
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
}

}  // namespace

BOOST_AUTO_TEST_CASE(weight_stashing_is_delayed_sgd) {
  for (const int ranks : {1, 2, 4}) check_rule(pipedream, ranks);
}

BOOST_AUTO_TEST_CASE(vertical_sync_reads_one_version_on_all_stages) {
  for (const int ranks : {2, 4}) check_rule(vertical_sync, ranks);
}

BOOST_AUTO_TEST_CASE(double_buffered_weights_are_one_update_behind) {
  for (const int ranks : {2, 4}) check_rule(double_buffered, ranks);
}

BOOST_AUTO_TEST_CASE(local_steps_read_the_latest_weights_twice) {
  for (const int ranks : {2, 4}) check_rule(local_steps, ranks);
}

BOOST_AUTO_TEST_CASE(two_micro_batches_ahead_with_both_of_pipemares_corrections) {
  for (const int ranks : {2, 4}) check_rule(fine_grained, ranks);
  check_rule(with(fine_grained, "sgd"), 2);
}

BOOST_AUTO_TEST_CASE(pipemares_synchronous_warm_up_is_not_corrected) {
  Rule rule = fine_grained;
  rule.warm_up = 3;
  check_rule(rule, 3);
}

BOOST_AUTO_TEST_CASE(weights_predicted_from_the_velocity) {
  for (const int ranks : {2, 4}) check_rule(velocity, ranks);
  check_rule(with(velocity, "adamw"), 4);
}

BOOST_AUTO_TEST_CASE(one_prediction_for_a_mini_batch) {
  for (const int ranks : {2, 4}) check_rule(per_mini_batch, ranks);
}

BOOST_AUTO_TEST_CASE(forwards_predicted_along_the_optimizers_direction) {
  for (const int ranks : {2, 4}) check_rule(own_direction, ranks);
  check_rule(with(own_direction, "sgd"), 4);
}

BOOST_AUTO_TEST_CASE(nesterovs_look_ahead_of_the_stashed_weights) {
  for (const int ranks : {1, 2, 4}) check_rule(look_ahead, ranks);
}

BOOST_AUTO_TEST_CASE(corrected_weights_are_rounded_to_the_type_of_the_model) {
  for (Rule rule : {fine_grained, own_direction, look_ahead}) {
    rule.dtype = DType::bf16;
    check_rule(rule, 2);
  }
}

BOOST_AUTO_TEST_CASE(another_rule_gives_other_weights) {
  // The oracle would be worthless if it did not see versions.
  const TinyRun run = run_of(pipedream, 4);
  DelayedSgd delayed(run, pipedream);
  DelayedSgd other(run, vertical_sync);
  for (int step = 0; step < async_rounds; ++step) {
    delayed.round(step);
    other.round(step);
  }
  BOOST_CHECK(std::memcmp(delayed.values(1).data(), other.values(1).data(),
                          delayed.values(1).size_bytes()) != 0);
}
