// Early updates, told as sentences: who hands what on, who goes on, and what is taken back.
#define BOOST_TEST_MODULE post_validation_protocol
#include "actors/protocol/post_validation.hpp"

#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <limits>

#include "actors/protocol/rank_core.hpp"
#include "actors/protocol/round_order.hpp"
#include "actors/protocol/trainer_core.hpp"
#include "tests/unit/actors/protocol_script.hpp"
#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

constexpr Stamp at_round(std::uint32_t round, std::uint32_t micro_batch = 0) {
  return {1, 0, round, micro_batch};
}

BeginRound begin_of(std::uint32_t round, std::uint32_t follows, bool may_overtake) {
  BeginRound begin;
  begin.stamp = at_round(round);
  begin.micro_batches = 2;
  begin.step = round - 1;
  begin.clip_norm = 10.0;
  begin.follows = follows;
  begin.may_overtake = may_overtake;
  return begin;
}

RoundReport measured(std::vector<double> squares, std::string first_non_finite = {}) {
  RoundReport report;
  report.squares = std::move(squares);
  report.first_non_finite = std::move(first_non_finite);
  return report;
}

// The second of three ranks, the first of two tensor shards.
NormChain middle() {
  return {true, 1, 0, {{0, 1, 0}, {0, 1, 1}}, ShardId{0, 2, 0}};
}

// What the shard does after a report, when it has heard these numbers.
bool steps_after(double own, double before, double peer, bool is_finite = true) {
  Inbox inbox(1, 0);
  inbox.begin_round(1);
  PostValidation validation(middle(), 1);
  validation.begin_round(at_round(1), 10.0);
  Commands commands;
  inbox.accept(PartialNorm{at_round(1), 0, 0, before, is_finite});
  inbox.accept(PartialNorm{at_round(1), 1, 1, peer, true});
  BOOST_CHECK(!validation.may_step(inbox, commands));
  BOOST_CHECK_EQUAL(told(commands), "");
  validation.measured(measured({own}));
  const bool steps = validation.may_step(inbox, commands);
  const auto sent = std::get<PartialNorm>(std::get<Send>(commands.front()).message);
  BOOST_CHECK_EQUAL(sent.squares, own + before);
  BOOST_CHECK_EQUAL(sent.is_finite, is_finite);
  BOOST_CHECK_EQUAL(told(commands), "partial_norm 0 -> 0.2.0, partial_norm 0 -> 0.1.1");
  BOOST_CHECK(!validation.may_step(inbox, commands));  // once
  return steps;
}

// The first of two stages, alone with two micro-batches of gpipe.
class FirstRank {
 public:
  FirstRank() : core_(config()) {}
  std::string receive(Message message) {
    core_.receive(self, std::move(message), commands_);
    return told(commands_);
  }
  std::string done(WorkKind kind, Stamp stamp, std::vector<double> squares = {}) {
    Completion completion;
    completion.kind = kind;
    completion.shard = self;
    completion.stamp = stamp;
    completion.report = measured(std::move(squares));
    core_.completed(std::move(completion), commands_);
    return told(commands_);
  }
  // Through all works of round 1; what follows its report.
  std::string run_first_round(double square) {
    receive(begin_of(1, 0, false));
    done(WorkKind::begin_round, at_round(1));
    for (const std::uint32_t mb : {0U, 1U}) {
      receive(Tokens{at_round(1, mb), {}});
      done(WorkKind::forward, at_round(1, mb));
    }
    for (const std::uint32_t mb : {0U, 1U}) {
      receive(Gradient{at_round(1, mb), Tensor()});
      done(WorkKind::backward, at_round(1, mb));
    }
    return done(WorkKind::report, at_round(1), {square});
  }
  RankCore& core() { return core_; }

 private:
  static constexpr ShardId self{0, 0, 0};
  static RankCoreConfig config() {
    RankCoreConfig config;
    config.run = 1;
    config.grid = {1, 1, 2};
    config.ranks = 2;
    config.program = generated("gpipe", 2, 2).programs[0];
    config.hosted = {{self, {.stage = 0, .is_first = true, .is_last = false}, {}}};
    config.norms = {true, 0, 0, {self}, ShardId{0, 1, 0}};
    return config;
  }
  RankCore core_;
  Commands commands_;
};

Apply apply_of(double scale, std::uint32_t voided) {
  Apply apply;
  apply.stamp = at_round(1);
  apply.gradient_scale = scale;
  apply.voided_round = voided;
  return apply;
}

// The next round is begun, and its first forward runs, before the update is validated.
void overtake(FirstRank& rank) {
  BOOST_CHECK_EQUAL(rank.run_first_round(1.0),
                    "report 0 -> trainer, partial_norm 0 -> 0.1.0, optimize 0");
  BOOST_CHECK_EQUAL(rank.receive(begin_of(2, 1, true)), "");
  BOOST_CHECK_EQUAL(rank.done(WorkKind::optimize, at_round(1)), "begin 0");
  rank.done(WorkKind::begin_round, at_round(2));
  BOOST_CHECK_EQUAL(rank.receive(Tokens{at_round(2, 0), {}}), "forward 0");
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_rank_updates_early_where_the_partial_norm_asks_for_nothing) {
  BOOST_CHECK(steps_after(50.0, 25.0, 25.0));
  BOOST_CHECK(!steps_after(50.0, 25.0, 26.0));
  BOOST_CHECK(!steps_after(1.0, 1.0, 1.0, false));
  BOOST_CHECK(!steps_after(std::numeric_limits<double>::infinity(), 0.0, 0.0));
}

BOOST_AUTO_TEST_CASE(a_rank_that_cannot_know_the_scale_waits_for_the_trainer) {
  FirstRank rank;
  BOOST_CHECK_EQUAL(rank.run_first_round(101.0), "report 0 -> trainer, partial_norm 0 -> 0.1.0");
  BOOST_CHECK_EQUAL(rank.receive(begin_of(2, 1, true)), "");
  BOOST_CHECK_EQUAL(rank.receive(apply_of(0.5, 2)), "optimize 0");
  BOOST_CHECK_EQUAL(rank.done(WorkKind::optimize, at_round(1)), "step_done 0 -> trainer");
  BOOST_CHECK_EQUAL(rank.receive(begin_of(2, 1, true)), "");  // given up
  BOOST_CHECK_EQUAL(rank.receive(begin_of(3, 1, false)), "begin 0");
}

BOOST_AUTO_TEST_CASE(an_update_that_stands_is_validated_and_the_next_round_goes_on) {
  FirstRank rank;
  overtake(rank);
  BOOST_CHECK_EQUAL(rank.receive(Gradient{at_round(2, 0), Tensor()}), "");
  BOOST_CHECK_EQUAL(rank.done(WorkKind::forward, at_round(2, 0)), "activation 0 -> 0.1.0");
  BOOST_CHECK_EQUAL(rank.receive(Tokens{at_round(2, 1), {}}), "forward 1");
  BOOST_CHECK_EQUAL(rank.done(WorkKind::forward, at_round(2, 1)), "activation 1 -> 0.1.0");
  // The gradients of round 1 are kept: no backward before the validation.
  BOOST_CHECK_EQUAL(rank.receive(apply_of(1.0, 0)), "validate 0");
  BOOST_CHECK_EQUAL(rank.done(WorkKind::validate, at_round(1)),
                    "step_done 0 -> trainer, credit gradient 0 -> 0.1.0, backward 0");
}

BOOST_AUTO_TEST_CASE(an_update_that_does_not_stand_is_taken_back_and_the_next_round_is_forgotten) {
  FirstRank rank;
  overtake(rank);
  // The new beginning comes before the decision.
  BOOST_CHECK_EQUAL(rank.receive(begin_of(3, 1, false)), "");
  BOOST_CHECK_EQUAL(rank.receive(apply_of(0.5, 2)), "roll_back 0");
  BOOST_CHECK_EQUAL(rank.done(WorkKind::forward, at_round(2, 0)), "");  // goes to nobody
  BOOST_CHECK_EQUAL(rank.receive(Tokens{at_round(2, 1), {}}), "");
  BOOST_CHECK_EQUAL(rank.done(WorkKind::roll_back, at_round(1)), "optimize 0");
  BOOST_CHECK_EQUAL(rank.done(WorkKind::optimize, at_round(1)), "step_done 0 -> trainer, begin 0");
  BOOST_CHECK_EQUAL(rank.done(WorkKind::begin_round, at_round(3)), "");
  BOOST_CHECK_EQUAL(rank.receive(Tokens{at_round(3, 0), {}}), "forward 0");
  const std::string told = rank.core().describe();
  BOOST_CHECK_MESSAGE(told.find(", 1 updates rolled back") != std::string::npos, told);
}

BOOST_AUTO_TEST_CASE(a_refused_update_is_taken_back_and_not_done_again) {
  FirstRank rank;
  overtake(rank);
  Apply apply = apply_of(1.0, 2);
  apply.is_refused = true;
  BOOST_CHECK_EQUAL(rank.receive(apply), "roll_back 0");
  rank.done(WorkKind::forward, at_round(2, 0));
  BOOST_CHECK_EQUAL(rank.done(WorkKind::roll_back, at_round(1)), "step_done 0 -> trainer");
  BOOST_CHECK(rank.core().idle());
}

BOOST_AUTO_TEST_CASE(rounds_begin_in_their_order_whatever_order_they_are_heard_in) {
  RoundOrder order;
  order.hear(begin_of(4, 3, true));
  order.hear(begin_of(3, 1, false));
  BOOST_CHECK(!order.take_next(1, false, true));  // 3 does not overtake 1
  BOOST_CHECK(order.give_up(2));
  BOOST_CHECK(!order.give_up(2));
  order.hear(begin_of(2, 1, true));
  BOOST_CHECK_EQUAL(order.take_next(1, true, true)->stamp.round, 3U);
  order.hear(begin_of(3, 1, false));
  BOOST_CHECK(!order.take_next(3, false, false));
  BOOST_CHECK_EQUAL(order.take_next(3, false, true)->stamp.round, 4U);
  BOOST_CHECK(!order.take_next(4, true, true));
}

BOOST_AUTO_TEST_CASE(the_trainer_begins_the_next_round_anew_where_its_begin_was_premature) {
  RoundRequest first, second;
  first.clip_norm = 1.0;
  second.step = 1;
  for (const double square : {0.5, 4.0}) {
    TrainerCore trainer(1, 0, {1, 1, 1}, true);
    Commands commands;
    trainer.begin(first, commands, second);
    const std::string both = "begin_round 0 -> feeder, begin_round 0 -> 0.0.0";
    BOOST_CHECK_EQUAL(told(commands), fmt::format("{0}, {0}", both));
    trainer.receive(RoundData{at_round(1), 1, 1}, commands);
    RoundReport report = measured({square});
    report.stamp = at_round(1);
    report.losses = {1.0};
    trainer.receive(report, commands);
    const auto apply = std::get<Apply>(std::get<Send>(commands.front()).message);
    const bool clips = square > 1.0;
    BOOST_CHECK_EQUAL(apply.voided_round, clips ? 2U : 0U);
    BOOST_CHECK_EQUAL(told(commands), "apply 0 -> 0.0.0" + (clips ? ", " + both : ""));
    StepDone done;
    done.stamp = at_round(1);
    done.rollbacks = 1;
    trainer.receive(done, commands);
    BOOST_CHECK_EQUAL(trainer.take_outcome()->value().rollbacks, 1);
    trainer.begin(second, commands);
    BOOST_CHECK_EQUAL(told(commands), "");  // it has been begun
  }
}
