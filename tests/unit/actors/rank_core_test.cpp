// The protocol of a shard, told as sentences: what arrives, and what it does then.
#define BOOST_TEST_MODULE rank_core
#include "actors/protocol/rank_core.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/schedule/generated.hpp"

#include "tests/unit/actors/protocol_script.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

// One shard between neighbours that the test plays.
class Script {
 public:
  explicit Script(RankCoreConfig config, const Schedule& schedule)
      : self_(config.hosted.front().id), core_(fill(config, schedule)) {
    micro_batches_ = schedule.micro_batches;
  }

  std::string begin(std::uint32_t round = 1, Mode mode = Mode::train) {
    round_ = round;
    return receive(BeginRound{stamp(0), mode, micro_batches_, 0});
  }
  std::string receive(Message message) {
    core_.receive(self_, std::move(message), commands_);
    return told(commands_);
  }
  std::string tokens(std::uint32_t micro_batch) { return receive(Tokens{stamp(micro_batch), {}}); }
  std::string activation(std::uint32_t micro_batch) {
    return receive(Activation{stamp(micro_batch), Tensor()});
  }
  std::string gradient(std::uint32_t micro_batch) {
    return receive(Gradient{stamp(micro_batch), Tensor()});
  }
  std::string credit(std::uint32_t micro_batch, Link link) {
    return receive(Credit{stamp(micro_batch), link});
  }
  std::string part(Purpose purpose, int rank, std::uint32_t micro_batch = 0,
                   std::uint32_t sequence = 0) {
    return receive(Contribution{stamp(micro_batch), purpose, sequence, rank, Tensor()});
  }
  std::string done(WorkKind kind, std::uint32_t micro_batch = 0, bool paused = false) {
    Completion completion;
    completion.kind = kind;
    completion.shard = self_;
    completion.stamp = stamp(micro_batch);
    completion.paused = paused;
    return complete(std::move(completion));
  }
  std::string complete(Completion completion) {
    core_.completed(std::move(completion), commands_);
    return told(commands_);
  }
  Stamp stamp(std::uint32_t micro_batch) const { return {1, 0, round_, micro_batch}; }
  RankCore& core() { return core_; }

 private:
  static RankCoreConfig fill(RankCoreConfig config, const Schedule& schedule) {
    config.run = 1;
    const int rank = schedule.placement.rank_of(config.hosted.front().id.stage);
    config.ranks = schedule.ranks();
    config.program = schedule.programs[static_cast<std::size_t>(rank)];
    return config;
  }
  ShardId self_;
  RankCore core_;
  Commands commands_;
  std::uint32_t round_ = 1;
  int micro_batches_ = 1;
};

RankCoreConfig at(Grid grid, ShardId self) {
  RankCoreConfig config;
  config.grid = grid;
  HostedStage stage{.stage = self.stage};
  stage.is_first = self.stage == 0;
  stage.is_last = self.stage == grid.pp - 1;
  config.hosted = {{self, stage, {}}};
  return config;
}

}  // namespace

BOOST_AUTO_TEST_CASE(nothing_starts_without_its_input) {
  Script shard(at({1, 1, 2}, {0, 1, 0}), generated("1f1b", 2, 2));
  BOOST_CHECK_EQUAL(shard.begin(), "begin 0");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::begin_round), "");
  BOOST_CHECK_EQUAL(shard.tokens(0), "");
  BOOST_CHECK_EQUAL(shard.activation(1), "");  // early: micro-batch 0 comes first
  BOOST_CHECK_EQUAL(shard.tokens(1), "");
  BOOST_CHECK_EQUAL(shard.activation(0), "credit activation 0 -> 0.0.0, forward 0");
}

BOOST_AUTO_TEST_CASE(nothing_starts_without_credit) {
  RankCoreConfig config = at({1, 1, 2}, {0, 0, 0});
  config.credit = 1;
  Script shard(config, generated("gpipe", 2, 3));
  shard.begin();
  shard.done(WorkKind::begin_round);
  shard.tokens(1);
  shard.tokens(2);
  BOOST_CHECK_EQUAL(shard.tokens(0), "forward 0");
  BOOST_CHECK_EQUAL(shard.core().credit_left(Link::activation), 0);
  BOOST_CHECK_EQUAL(shard.done(WorkKind::forward, 0), "activation 0 -> 0.1.0");
  BOOST_CHECK_EQUAL(shard.credit(0, Link::activation), "forward 1");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::forward, 1), "activation 1 -> 0.1.0");
  BOOST_CHECK_EQUAL(shard.credit(0, Link::activation), "");  // the same credit again is not another
  BOOST_CHECK_EQUAL(shard.credit(1, Link::activation), "forward 2");
}

BOOST_AUTO_TEST_CASE(a_gradient_leaves_when_its_work_is_done) {
  Script shard(at({1, 1, 3}, {0, 1, 0}), generated("1f1b", 3, 1));
  shard.begin();
  shard.done(WorkKind::begin_round);
  shard.tokens(0);
  BOOST_CHECK_EQUAL(shard.activation(0), "credit activation 0 -> 0.0.0, forward 0");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::forward, 0), "activation 0 -> 0.2.0");
  BOOST_CHECK_EQUAL(shard.gradient(0), "credit gradient 0 -> 0.2.0, backward 0");
  BOOST_CHECK_EQUAL(shard.core().credit_left(Link::gradient), limits::link_credit_default - 1);
  BOOST_CHECK_EQUAL(shard.done(WorkKind::backward, 0), "gradient 0 -> 0.0.0, report 0");
}

BOOST_AUTO_TEST_CASE(a_split_backward_sends_its_gradient_before_the_weights) {
  Schedule schedule = generated("1f1b", 2, 1);
  schedule.programs[1] = {{Verb::forward, 1, 0},
                          {Verb::backward_input, 1, 0},
                          {Verb::backward_weight, 1, 0},
                          {Verb::step, 1, 0}};
  Script shard(at({1, 1, 2}, {0, 1, 0}), schedule);
  shard.begin();
  shard.done(WorkKind::begin_round);
  shard.tokens(0);
  shard.activation(0);
  BOOST_CHECK_EQUAL(shard.done(WorkKind::forward, 0), "backward_input 0");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::backward_input, 0),
                    "gradient 0 -> 0.0.0, backward_weight 0");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::backward_weight, 0), "report 0");
}

BOOST_AUTO_TEST_CASE(the_stream_holds_no_more_than_its_depth) {
  RankCoreConfig config = at({1, 1, 1}, {0, 0, 0});
  config.depth = 2;
  Script shard(config, generated("gpipe", 1, 3));
  BOOST_CHECK_EQUAL(shard.begin(), "begin 0");
  BOOST_CHECK_EQUAL(shard.tokens(0), "forward 0");
  BOOST_CHECK_EQUAL(shard.tokens(1), "");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::begin_round), "forward 1");
}

BOOST_AUTO_TEST_CASE(work_pauses_at_a_reduction_until_all_parts_are_there) {
  Script shard(at({1, 3, 1}, {0, 0, 1}), generated("1f1b", 1, 1));
  shard.begin();
  shard.done(WorkKind::begin_round);
  BOOST_CHECK_EQUAL(shard.tokens(0), "forward 0");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::forward, 0, true),
                    "contribution forward 0.0 -> 0.0.0, contribution forward 0.0 -> 0.0.2");
  BOOST_CHECK_EQUAL(shard.part(Purpose::forward, 2), "");
  BOOST_CHECK_EQUAL(shard.part(Purpose::forward, 2), "");        // a duplicate
  BOOST_CHECK_EQUAL(shard.part(Purpose::forward, 0, 0, 1), "");  // of the next reduction
  BOOST_CHECK_EQUAL(shard.part(Purpose::forward, 0), "resume 0");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::forward, 0, true),
                    "contribution forward 0.1 -> 0.0.0, contribution forward 0.1 -> 0.0.2");
  BOOST_CHECK_EQUAL(shard.part(Purpose::forward, 2, 0, 1), "resume 0");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::forward, 0), "backward 0");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::backward, 0, true),
                    "contribution backward 0.0 -> 0.0.0, contribution backward 0.0 -> 0.0.2");
}

BOOST_AUTO_TEST_CASE(exchanges_follow_each_other_in_the_order_listed) {
  RankCoreConfig config = at({2, 1, 1}, {1, 0, 0});
  const std::vector<ShardId> group = replica_group(config.grid, config.hosted[0].id);
  config.hosted[0].exchanges = {{Purpose::replica_sum, group, 1},
                                {Purpose::replica_gather, group, 1}};
  Script shard(config, generated("1f1b", 1, 1));
  shard.begin();
  shard.done(WorkKind::begin_round);
  shard.tokens(0);
  BOOST_CHECK_EQUAL(shard.part(Purpose::replica_gather, 0), "");  // far too early
  BOOST_CHECK_EQUAL(shard.done(WorkKind::forward, 0), "backward 0");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::backward, 0), "prepare replica_sum");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::prepare), "contribution replica_sum 0.0 -> 0.0.0");
  BOOST_CHECK_EQUAL(shard.part(Purpose::replica_sum, 0), "combine replica_sum");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::combine), "prepare replica_gather");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::prepare),
                    "contribution replica_gather 0.0 -> 0.0.0, combine replica_gather");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::combine), "report 0");
}

BOOST_AUTO_TEST_CASE(the_update_waits_for_the_trainer_and_the_next_round_for_the_update) {
  Script shard(at({1, 1, 1}, {0, 0, 0}), generated("1f1b", 1, 1));
  shard.begin();
  shard.done(WorkKind::begin_round);
  shard.tokens(0);
  shard.done(WorkKind::forward, 0);
  BOOST_CHECK_EQUAL(shard.done(WorkKind::backward, 0), "report 0");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::report), "report 0 -> trainer");
  BOOST_CHECK(!shard.core().idle());
  const Apply apply{shard.stamp(0), 1, 1e-3, 1.0, false};
  BOOST_CHECK_EQUAL(shard.receive(apply), "optimize 0");
  BOOST_CHECK_EQUAL(shard.receive(apply), "");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::optimize), "step_done 0 -> trainer");
  BOOST_CHECK(shard.core().idle());
  BOOST_CHECK_EQUAL(shard.begin(1), "");  // an old beginning
  BOOST_CHECK_EQUAL(shard.begin(2), "begin 0");
}

BOOST_AUTO_TEST_CASE(a_round_that_the_trainer_gave_up_ends_when_the_next_begins) {
  Script shard(at({1, 1, 1}, {0, 0, 0}), generated("1f1b", 1, 1));
  shard.begin();
  shard.done(WorkKind::begin_round);
  shard.tokens(0);
  shard.done(WorkKind::forward, 0);
  shard.done(WorkKind::backward, 0);
  shard.done(WorkKind::report);
  const Apply late{shard.stamp(0), 1, 1e-3, 1.0, false};
  BOOST_CHECK_EQUAL(shard.begin(2, Mode::evaluate), "begin 0");
  BOOST_CHECK_EQUAL(shard.receive(late), "");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::begin_round), "");
  BOOST_CHECK_EQUAL(shard.tokens(0), "forward 0");
}

BOOST_AUTO_TEST_CASE(an_evaluation_runs_forwards_and_ends_with_its_report) {
  Script shard(at({1, 1, 1}, {0, 0, 0}), generated("1f1b", 1, 2));
  BOOST_CHECK_EQUAL(shard.begin(1, Mode::evaluate), "begin 0");
  shard.done(WorkKind::begin_round);
  BOOST_CHECK_EQUAL(shard.tokens(0), "forward 0");
  shard.tokens(1);
  BOOST_CHECK_EQUAL(shard.done(WorkKind::forward, 0), "forward 1");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::forward, 1), "report 0");
  BOOST_CHECK_EQUAL(shard.done(WorkKind::report), "report 0 -> trainer");
  BOOST_CHECK(shard.core().idle());
}

BOOST_AUTO_TEST_CASE(a_failed_work_stops_the_shard_and_tells_the_trainer) {
  Script shard(at({1, 1, 1}, {0, 0, 0}), generated("1f1b", 1, 1));
  shard.begin();
  shard.done(WorkKind::begin_round);
  shard.tokens(0);
  Completion completion;
  completion.kind = WorkKind::forward;
  completion.shard = {0, 0, 0};
  completion.stamp = shard.stamp(0);
  completion.error = make_error(ErrorCode::out_of_memory, "no memory");
  BOOST_CHECK_EQUAL(shard.complete(completion), "failed 0 -> trainer");
  BOOST_CHECK_EQUAL(shard.tokens(0), "");
  BOOST_CHECK_EQUAL(shard.begin(2), "");
  BOOST_CHECK_EQUAL(shard.core().describe(), "replica 0 stage 0 shard 0 has failed after 2 works");
}

BOOST_AUTO_TEST_CASE(a_message_of_another_generation_changes_nothing) {
  Script shard(at({1, 1, 1}, {0, 0, 0}), generated("1f1b", 1, 1));
  shard.begin();
  shard.done(WorkKind::begin_round);
  BOOST_CHECK_EQUAL(shard.receive(Tokens{{1, 1, 1, 0}, {}}), "");
  BOOST_CHECK_EQUAL(shard.receive(Tokens{{2, 0, 1, 0}, {}}), "");
  BOOST_CHECK_EQUAL(shard.receive(BeginRound{{1, 1, 2, 0}, Mode::train, 1, 0}), "");
  BOOST_CHECK_EQUAL(shard.core().inbox().stale_count(), 3U);
  BOOST_CHECK_EQUAL(shard.tokens(0), "forward 0");
}
