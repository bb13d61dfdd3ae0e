// What monitors say of ranks: idle shares of schedules whose bubble is published, with times that
// are given, and how many messages waited in a scripted order.
#define BOOST_TEST_MODULE utilisation
#include "actors/utilisation.hpp"

#include <boost/test/unit_test.hpp>

#include "actors/timed_world.hpp"
#include "tests/sim/tiny_grid.hpp"
#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

// Forward, input gradient and weight gradient take as long as each other.
double equal_times(const Work& work) {
  switch (work.kind) {
    case WorkKind::forward:
    case WorkKind::backward_input:
    case WorkKind::backward_weight:
      return 1.0;
    case WorkKind::backward:
      return 2.0;
    case WorkKind::optimize:
      return 5.0;  // of no bubble
    default:
      return 0.0;
  }
}

Utilisation second_step(const TinyRun& run, double message_s = 0.0) {
  TinyGrid grid(run);
  const auto world = make_timed_world(grid.options(), grid.executors(), {equal_times, message_s});
  BOOST_REQUIRE(world->round(tiny_request(grid, 0)).ok());
  const auto outcome = world->round(tiny_request(grid, 1));
  BOOST_REQUIRE(outcome.ok());
  return utilisation_of(outcome->ranks);
}

const auto tight = boost::test_tools::tolerance(1e-12);

}  // namespace

// GPipe (Huang et al. 2019) and 1F1B (Narayanan et al. 2021): (p - 1) / (m + p - 1).
BOOST_AUTO_TEST_CASE(the_bubble_of_1f1b_is_the_published_one) {
  for (const char* schedule : {"1f1b", "gpipe"}) {
    for (const int p : {1, 2, 4}) {
      for (const int m : {4, 8}) {
        const TinyRun run{.grid = {1, 1, p}, .schedule = schedule, .micro_batches = m, .credit = 8};
        const Utilisation all = second_step(run);
        BOOST_TEST(all.rank_count == p);
        BOOST_TEST(all.bubble_mean == (p - 1.0) / (m + p - 1.0), tight);
        BOOST_TEST(all.bubble_max == all.bubble_mean, tight);
      }
    }
  }
}

// Qi et al. 2023, table 1: (p - 1)(F + I - W) of each rank, beside m (F + I + W).
BOOST_AUTO_TEST_CASE(the_bubble_of_zb_h1_is_the_published_one) {
  const TinyRun run{.grid = {1, 1, 4}, .schedule = "zb-h1", .micro_batches = 8, .credit = 8};
  BOOST_TEST(second_step(run).bubble_mean == 3.0 / (3.0 * 8 + 3.0), tight);
}

BOOST_AUTO_TEST_CASE(every_rank_of_every_replica_counts) {
  const TinyRun run{.grid = {2, 2, 2}, .micro_batches = 4};
  BOOST_TEST(second_step(run).rank_count == 8);
  BOOST_TEST(second_step(run, 0.25).bubble_mean > second_step(run).bubble_mean);
}

BOOST_AUTO_TEST_CASE(ranks_that_differ_have_a_mean_and_a_most) {
  const std::vector<RankUse> ranks = {{true, 6.0, 8.0, 3}, {true, 8.0, 10.0, 6}, {}};
  const Utilisation all = utilisation_of(ranks);
  BOOST_TEST(all.rank_count == 2);
  BOOST_TEST(all.bubble_mean == 0.3, tight);
  BOOST_TEST(all.bubble_max == 0.4, tight);
  BOOST_TEST(all.mailbox_depth_mean == 4.5);
  BOOST_TEST(all.mailbox_depth_max == 6);
  BOOST_TEST(utilisation_of({}).rank_count == 0);
}

namespace {

// The last of two stages, whose neighbours the test plays.
struct LastStage {
  static RankCoreConfig config() {
    RankCoreConfig made;
    made.run = 1;
    made.grid = {1, 1, 2};
    made.ranks = 2;
    made.program = generated("1f1b", 2, 3).programs[1];
    made.hosted = {{{0, 1, 0}, {.stage = 1, .is_first = false}, {}}};
    return made;
  }
  void receive(Message message) {
    core.receive({0, 1, 0}, std::move(message), commands);
    run_works();
  }
  // Streams are held still until then.
  void run_works() {
    for (std::size_t i = 0; runs && i < commands.size(); ++i) {
      auto* work = std::get_if<Work>(&commands[i]);
      if (work == nullptr) continue;
      Completion done;
      done.kind = work->kind;
      done.shard = work->shard;
      done.stamp = work->stamp;
      work->shard.stage = -1;
      Commands more;
      if (done.shard.stage == 1) core.completed(std::move(done), more);
      commands.insert(commands.end(), more.begin(), more.end());
    }
  }
  int depth() const {
    for (const Command& command : commands) {
      const auto* send = std::get_if<Send>(&command);
      const auto* done = send == nullptr ? nullptr : std::get_if<StepDone>(&send->message);
      if (done != nullptr && done->stamp.round == round) return done->use.mailbox_depth;
    }
    return -1;
  }
  Stamp at(std::uint32_t micro_batch) const { return {1, 0, round, micro_batch}; }

  RankCore core{config()};
  Commands commands;
  std::uint32_t round = 1;
  bool runs = false;
};

}  // namespace

BOOST_AUTO_TEST_CASE(mailbox_depth_is_the_most_that_waited_at_once) {
  LastStage stage;
  for (stage.round = 1; stage.round <= 2; ++stage.round) {
    stage.runs = false;
    stage.receive(Tokens{stage.at(0), {}});  // before the round itself: 1
    stage.receive(BeginRound{stage.at(0), Mode::train, 3, 0});
    stage.receive(Tokens{stage.at(1), {}});
    stage.receive(Tokens{stage.at(2), {}});
    stage.receive(Activation{stage.at(1), {}});
    if (stage.round == 1) stage.receive(Activation{stage.at(2), {}});
    stage.receive(Activation{stage.at(1), {}});          // again: nothing waits twice
    stage.receive(Credit{stage.at(0), Link::gradient});  // taken at once
    stage.runs = true;
    stage.receive(Activation{stage.at(0), {}});  // the sixth, in round 2 the fifth; then all run
    stage.receive(Credit{stage.at(1), Link::gradient});
    if (stage.round == 2) stage.receive(Activation{stage.at(2), {}});
    stage.receive(Credit{stage.at(2), Link::gradient});
    stage.receive(Apply{stage.at(0), stage.round, 0.1, 1.0});
    BOOST_TEST(stage.depth() == (stage.round == 1 ? 6 : 5));
  }
}
