// The protocol of the trainer, told as sentences.
#define BOOST_TEST_MODULE trainer_core
#include "actors/protocol/trainer_core.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "tests/unit/actors/protocol_script.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

template <class Report>
Report stamped(ShardId from, Stamp stamp = {1, 0, 1, 0}) {
  Report report;
  report.stamp = stamp;
  report.from = from;
  return report;
}

class Script {
 public:
  explicit Script(Grid grid, RoundRequest request = {}) : grid_(grid), core_(1, 0, grid) {
    core_.begin(request, commands_);
    begun_ = told(commands_);
  }

  const std::string& begun() const { return begun_; }
  std::string receive(Message message) {
    core_.receive(std::move(message), commands_);
    last_ = commands_;
    return told(commands_);
  }
  std::string data(std::int64_t valid_tokens) {
    return receive(RoundData{stamp(), valid_tokens, valid_tokens});
  }
  std::string report(ShardId from, std::vector<double> losses, std::vector<double> squares,
                     std::string first_non_finite = {}) {
    RoundReport report = stamped<RoundReport>(from);
    report.losses = std::move(losses);
    report.squares = std::move(squares);
    report.first_non_finite = std::move(first_non_finite);
    return receive(std::move(report));
  }
  // With ZeRO: of the parameters of the replica's share.
  std::string report_share(ShardId from, std::vector<double> squares) {
    RoundReport report = stamped<RoundReport>(from);
    report.squares = std::move(squares);
    report.is_share = true;
    return receive(std::move(report));
  }
  std::string done(ShardId from, std::uint64_t hash) {
    StepDone done = stamped<StepDone>(from);
    done.parameter_hash = hash;
    return receive(std::move(done));
  }
  std::string done_share(ShardId from, std::uint64_t hash) {
    StepDone done = stamped<StepDone>(from);
    done.parameter_hash = hash;
    done.is_share = true;
    return receive(std::move(done));
  }
  const Apply& applied() const { return std::get<Apply>(std::get<Send>(last_.front()).message); }
  double scale() const { return applied().gradient_scale; }
  std::optional<Result<RoundOutcome>> outcome() { return core_.take_outcome(); }
  std::string error() {
    const auto result = core_.take_outcome();
    BOOST_REQUIRE(result.has_value());
    BOOST_REQUIRE(!result->ok());
    error_code_ = result->error().code;
    return result->error().message;
  }
  ErrorCode error_code() const { return error_code_; }
  static Stamp stamp() { return {1, 0, 1, 0}; }
  TrainerCore& core() { return core_; }

 private:
  Grid grid_;
  TrainerCore core_;
  Commands commands_, last_;
  std::string begun_;
  ErrorCode error_code_ = ErrorCode::lost;
};

RoundRequest clipped_at(double norm) {
  RoundRequest request;
  request.clip_norm = norm;
  return request;
}

double scale_of(double square, double clip_norm) {
  Script trainer({1, 1, 1}, clipped_at(clip_norm));
  trainer.data(1);
  BOOST_REQUIRE_EQUAL(trainer.report({0, 0, 0}, {1.0}, {square}), "apply 0 -> 0.0.0");
  return trainer.scale();
}

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_round_begins_with_the_feeder_and_every_shard) {
  BOOST_CHECK_EQUAL(Script({2, 1, 2}).begun(),
                    "begin_round 0 -> feeder, begin_round 0 -> 0.0.0, begin_round 0 -> 0.1.0, "
                    "begin_round 0 -> 1.0.0, begin_round 0 -> 1.1.0");
}

// Large values hide small ones: another order of summing would give another result.
BOOST_AUTO_TEST_CASE(sums_do_not_depend_on_the_order_of_reports) {
  const std::vector<std::vector<ShardId>> orders{{{0, 0, 0}, {0, 1, 0}, {1, 0, 0}, {1, 1, 0}},
                                                 {{1, 1, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 0}},
                                                 {{0, 1, 0}, {1, 1, 0}, {0, 0, 0}, {1, 0, 0}}};
  for (const auto& order : orders) {
    Script trainer({2, 1, 2});
    trainer.data(2);
    for (const ShardId& from : order) {
      std::vector<double> losses;
      if (from.stage == 1) losses = from.replica == 0 ? std::vector{1e16, 1.0} : std::vector{-1e16};
      std::vector<double> squares;
      if (from.replica == 0) squares = {from.stage == 0 ? 1e16 : 1.0, 1.0};
      trainer.report(from, losses, squares);
    }
    for (const ShardId& from : order) trainer.done(from, 7);
    const auto outcome = trainer.outcome();
    BOOST_REQUIRE(outcome && outcome->ok());
    BOOST_CHECK_EQUAL((*outcome)->loss, ((1e16 + 1.0) + -1e16) / 2.0);
    BOOST_CHECK_EQUAL((*outcome)->gradient_norm, std::sqrt(((1e16 + 1.0) + 1.0) + 1.0));
    BOOST_CHECK_EQUAL((*outcome)->parameter_hash, 14U);
    BOOST_CHECK_EQUAL((*outcome)->peak_bytes.size(), 4U);
  }
}

BOOST_AUTO_TEST_CASE(the_mean_is_over_the_valid_tokens_of_the_whole_batch) {
  Script trainer({2, 1, 1});
  BOOST_CHECK_EQUAL(trainer.report({0, 0, 0}, {6.0}, {}), "");
  BOOST_CHECK_EQUAL(trainer.report({1, 0, 0}, {4.0}, {}), "");
  BOOST_CHECK_EQUAL(trainer.data(5), "apply 0 -> 0.0.0, apply 0 -> 1.0.0");
  trainer.done({0, 0, 0}, 1);
  BOOST_CHECK(!trainer.outcome());
  trainer.done({0, 0, 0}, 1);  // twice the same is not both
  BOOST_CHECK(!trainer.outcome());
  trainer.done({1, 0, 0}, 1);
  BOOST_CHECK_EQUAL(trainer.outcome()->value().loss, 2.0);
}

BOOST_AUTO_TEST_CASE(gradients_are_clipped_to_the_norm_and_never_enlarged) {
  BOOST_CHECK_CLOSE(scale_of(16.0, 1.0), 1.0 / (4.0 + 1e-6), 1e-12);
  BOOST_CHECK_EQUAL(scale_of(0.25, 1.0), 1.0);
  BOOST_CHECK_EQUAL(scale_of(16.0, 0.0), 1.0);
  BOOST_CHECK_EQUAL(scale_of(0.0, 1.0), 1.0);
}

BOOST_AUTO_TEST_CASE(a_loss_that_is_not_finite_names_replica_and_micro_batch) {
  for (const double bad : {nan_value, infinity}) {
    RoundRequest request;
    request.step = 41;
    Script trainer({2, 1, 1}, request);
    trainer.data(4);
    trainer.report({0, 0, 0}, {1.0, 1.0}, {1.0});
    BOOST_CHECK_EQUAL(trainer.report({1, 0, 0}, {1.0, bad}, {}), "");  // no apply
    const std::string error = trainer.error();
    BOOST_CHECK_MESSAGE(contains(error, "step 42: the loss of replica 1 micro-batch 1 is"), error);
    BOOST_CHECK(trainer.error_code() == ErrorCode::non_finite);
  }
}

BOOST_AUTO_TEST_CASE(a_gradient_that_is_not_finite_names_its_parameter) {
  Script trainer({1, 1, 2});
  trainer.data(4);
  trainer.report({0, 1, 0}, {1.0}, {1.0});
  BOOST_CHECK_EQUAL(trainer.report({0, 0, 0}, {}, {nan_value}, "layers.0.mlp.gate"), "");
  const std::string error = trainer.error();
  BOOST_CHECK_MESSAGE(
      contains(error, "the gradient of layers.0.mlp.gate (replica 0 stage 0 shard 0)"), error);
  BOOST_CHECK(trainer.error_code() == ErrorCode::non_finite);
}

BOOST_AUTO_TEST_CASE(replicas_that_differ_are_found_out) {
  Script trainer({2, 1, 1});
  trainer.data(1);
  trainer.report({0, 0, 0}, {1.0}, {1.0});
  trainer.report({1, 0, 0}, {1.0}, {});
  trainer.done({1, 0, 0}, 8);
  trainer.done({0, 0, 0}, 7);
  const std::string error = trainer.error();
  BOOST_CHECK_MESSAGE(contains(error, "replica 1 differ"), error);
}

BOOST_AUTO_TEST_CASE(a_failed_shard_ends_the_round_and_the_next_may_begin) {
  Script trainer({1, 1, 2});
  trainer.receive(Failed{Script::stamp(), shard_address({0, 1, 0}),
                         make_error(ErrorCode::out_of_memory, "no memory")});
  BOOST_CHECK_EQUAL(trainer.error(), "no memory");
  BOOST_CHECK_EQUAL(trainer.report({0, 0, 0}, {}, {1.0}), "");
  BOOST_CHECK(!trainer.outcome());
  Commands commands;
  trainer.core().begin({}, commands);
  BOOST_CHECK_EQUAL(told(commands),
                    "begin_round 0 -> feeder, begin_round 0 -> 0.0.0, begin_round 0 -> 0.1.0");
}

BOOST_AUTO_TEST_CASE(what_another_round_or_generation_says_is_not_heard) {
  Script trainer({1, 1, 1});
  trainer.data(1);
  BOOST_CHECK_EQUAL(trainer.receive(stamped<RoundReport>({}, {1, 0, 7, 0})), "");
  BOOST_CHECK_EQUAL(trainer.receive(stamped<RoundReport>({}, {1, 1, 1, 0})), "");
  trainer.receive(Failed{{1, 1, 1, 0}, {}, make_error(ErrorCode::lost, "old")});
  BOOST_CHECK(!trainer.outcome());
  BOOST_CHECK(contains(trainer.core().describe(), "reports from: replica 0 stage 0 shard 0"));
}

BOOST_AUTO_TEST_CASE(an_evaluation_ends_with_the_reports) {
  RoundRequest request;
  request.mode = Mode::evaluate;
  Script trainer({1, 1, 1}, request);
  trainer.data(4);
  BOOST_CHECK_EQUAL(trainer.report({0, 0, 0}, {2.0, 6.0}, {}), "");
  BOOST_CHECK_EQUAL(trainer.outcome()->value().loss, 2.0);
}

// ZeRO: each parameter's square is its owner's, so the sum is taken parameter by parameter, whoever
// measured them; with ZeRO-3 the hashes are of shares too.
BOOST_AUTO_TEST_CASE(replicas_report_shares_of_squares_and_hashes) {
  const std::vector<double> squares = {1e16, 1.0, 1.0, 3.0};
  Script whole({1, 1, 1});
  whole.data(1);
  whole.report({0, 0, 0}, {1.0}, squares);
  whole.done({0, 0, 0}, 12);
  const RoundOutcome expected = whole.outcome().value().value();

  Script shared({2, 1, 1});
  shared.data(1);
  shared.report_share({1, 0, 0}, {0.0, 1.0, 0.0, 3.0});
  shared.report_share({0, 0, 0}, {1e16, 0.0, 1.0, 0.0});
  shared.done_share({0, 0, 0}, 5);
  shared.done_share({1, 0, 0}, 7);
  const RoundOutcome outcome = shared.outcome().value().value();
  BOOST_CHECK_EQUAL(outcome.gradient_norm, expected.gradient_norm);
  BOOST_CHECK_EQUAL(outcome.parameter_hash, 12U);
}

// Not clipped, whatever the norm; how many labels were drawn goes with the decision.
BOOST_AUTO_TEST_CASE(an_estimate_of_curvature_ends_as_a_step_does) {
  RoundRequest request;
  request.step = 4;
  request.curvature = LabelDraw{7, 4};
  Script trainer({1, 1, 1}, request);
  trainer.data(12);
  BOOST_CHECK_EQUAL(trainer.report({0, 0, 0}, {2.0}, {1e6}), "apply 0 -> 0.0.0");
  BOOST_CHECK_EQUAL(trainer.scale(), 1.0);
  BOOST_CHECK(trainer.applied().curvature_tokens == std::optional<std::int64_t>(12));
  trainer.done({0, 0, 0}, 0);
  BOOST_CHECK_EQUAL(trainer.outcome()->value().valid_tokens, 12);

  Script broken({1, 1, 1}, request);
  broken.data(12);
  broken.report({0, 0, 0}, {2.0}, {1.0}, "head");
  BOOST_CHECK(contains(broken.error(), "step 5, estimate of its curvature: the gradient of head"));

  Script plain({1, 1, 1});
  plain.data(12);
  plain.report({0, 0, 0}, {2.0}, {1.0});
  BOOST_CHECK(!plain.applied().curvature_tokens);
}
