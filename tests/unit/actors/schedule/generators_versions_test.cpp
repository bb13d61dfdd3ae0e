// Weight versions of the asynchronous schedules, counted along their programs without the
// validator: a stage's version is the number of its STEPs so far.
#define BOOST_TEST_MODULE generators_versions
#include <boost/test/unit_test.hpp>
#include <map>

#include "tests/unit/actors/schedule/generated.hpp"
#include "tests/unit/actors/schedule/in_order.hpp"

using namespace collie;

namespace {

struct Counted {
  int staleness = 0;        // most
  int least_staleness = 0;  // behind the first updates of the file
  int mismatch = 0;         // most
  int copies = 1;           // most: the latest version and those that a backward in flight reads
  bool operator==(const Counted&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Counted& c) {
  return out << "tau " << c.least_staleness << ".." << c.staleness << " mu " << c.mismatch << " K "
             << c.copies;
}

int version_read(VersionRule rule, const Schedule& schedule, int micro_batch, int latest) {
  const int group = schedule.versions.step_every;
  if (rule == VersionRule::previous_group) return std::max(0, micro_batch / group - 1);
  if (rule == VersionRule::vertical) return std::max(0, micro_batch - (schedule.stages() - 1));
  return latest;
}

class StageCounter {
 public:
  StageCounter(const Schedule& schedule, int settled) : schedule_(schedule), settled_(settled) {}

  void perform(const Action& action) {
    if (action.verb == Verb::step) {
      ++latest_;
    } else if (action.verb == Verb::forward) {
      const int version =
          version_read(schedule_.versions.forward, schedule_, action.micro_batch, latest_);
      BOOST_CHECK_LE(version, latest_);  // it exists
      reads_[action.micro_batch] = version;
    } else if (action.verb == Verb::backward) {
      backward(action.micro_batch);
    }
    count_copies();
  }
  const Counted& counted() const { return counted_; }

 private:
  void backward(int micro_batch) {
    const VersionRule rule = schedule_.versions.backward;
    const int forward = reads_.at(micro_batch);
    const int version = rule == VersionRule::stashed
                            ? forward
                            : version_read(rule, schedule_, micro_batch, latest_);
    const int staleness = micro_batch / schedule_.versions.step_every - forward;
    BOOST_CHECK_GE(staleness, 0);
    BOOST_CHECK_GE(version, forward);
    counted_.staleness = std::max(counted_.staleness, staleness);
    if (micro_batch == settled_) counted_.least_staleness = staleness;
    if (micro_batch > settled_) {
      counted_.least_staleness = std::min(counted_.least_staleness, staleness);
    }
    counted_.mismatch = std::max(counted_.mismatch, version - forward);
    reads_.erase(micro_batch);
  }
  void count_copies() {
    const VersionRule rule = schedule_.versions.backward;
    if (rule == VersionRule::latest || rule == VersionRule::predicted) return;
    std::map<int, bool> alive = {{latest_, true}};
    for (const auto& [micro_batch, version] : reads_) alive[version] = true;
    counted_.copies = std::max(counted_.copies, static_cast<int>(alive.size()));
  }

  const Schedule& schedule_;
  int settled_;  // the first micro-batch of the steady state
  int latest_ = 0;
  std::map<int, int> reads_;  // of the micro-batches in flight
  Counted counted_;
};

std::vector<Counted> counted(const Schedule& schedule) {
  BOOST_CHECK(InOrderClock(schedule, 1, 1, 1).run().finished);
  std::vector<Counted> stages;
  for (const auto& program : schedule.programs) {
    StageCounter counter(schedule, schedule.micro_batches / 2);
    for (const Action& action : program) counter.perform(action);
    stages.push_back(counter.counted());
  }
  return stages;
}

std::vector<Counted> counted(std::string_view name, int ranks, int micro_batches, int group = 0) {
  return counted(generated(name, {.ranks = ranks, .micro_batches = micro_batches, .group = group}));
}

void check_counts(const std::vector<Counted>& stages, const std::vector<Counted>& expected) {
  BOOST_CHECK_EQUAL_COLLECTIONS(stages.begin(), stages.end(), expected.begin(), expected.end());
}

void check_contract(std::string_view name, const ScheduleOptions& options,
                    std::string_view staleness, std::string_view mismatch,
                    std::string_view versions) {
  const Schedule schedule = generated(name, options);
  BOOST_TEST_CONTEXT(name) {
    BOOST_CHECK(!schedule.contract.synchronous);
    BOOST_CHECK_EQUAL(schedule.contract.staleness, staleness);
    BOOST_CHECK_EQUAL(schedule.contract.mismatch, mismatch);
    BOOST_CHECK_EQUAL(schedule.contract.versions, versions);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(pipedream_stashes_as_many_versions_as_stages_follow) {
  for (const std::string_view name : {"pipedream", "nesterov"}) {
    check_counts(counted(name, 4, 24), {{3, 3, 0, 4}, {2, 2, 0, 3}, {1, 1, 0, 2}, {0, 0, 0, 1}});
  }
}

BOOST_AUTO_TEST_CASE(vertical_sync_is_equally_stale_everywhere) {
  check_counts(counted("pipedream-vsync", 4, 24),
               {{3, 3, 0, 4}, {3, 3, 0, 4}, {3, 3, 0, 3}, {3, 3, 0, 2}});
}

BOOST_AUTO_TEST_CASE(double_buffered_weights_are_one_update_stale) {
  for (const int group : {4, 6}) {
    const std::vector<Counted> stages = counted("pipedream-2bw", 4, 24, group);
    for (const Counted& stage : stages) BOOST_CHECK_EQUAL(stage, (Counted{1, 1, 0, 2}));
  }
}

BOOST_AUTO_TEST_CASE(without_stash_the_backward_reads_what_came_since) {
  for (const std::string_view name : {"spectrain", "pipeoptim"}) {
    check_counts(counted(name, 4, 24), {{3, 3, 3, 1}, {2, 2, 2, 1}, {1, 1, 1, 1}, {0, 0, 0, 1}});
  }
  check_counts(counted("pipemare", 4, 24),
               {{6, 6, 6, 1}, {4, 4, 4, 1}, {2, 2, 2, 1}, {0, 0, 0, 1}});
}

BOOST_AUTO_TEST_CASE(local_steps_are_at_most_one_update_apart) {
  check_counts(counted("paci", 4, 24), {{1, 0, 1, 1}, {1, 0, 1, 1}, {1, 0, 1, 1}, {0, 0, 0, 1}});
  // ceil((P - 1 - s) / a) with a = 2 on 6 ranks.
  const std::vector<Counted> stages = counted("paci", 6, 24, 2);
  for (int stage = 0; stage < 6; ++stage) {
    BOOST_CHECK_EQUAL(stages[static_cast<std::size_t>(stage)].staleness, (5 - stage + 1) / 2);
    BOOST_CHECK_EQUAL(stages[static_cast<std::size_t>(stage)].mismatch, (5 - stage + 1) / 2);
  }
}

BOOST_AUTO_TEST_CASE(stashing_with_accumulation_keeps_fewer_versions) {
  // ceil((S - 1 - s) / m) + 1 with m = 2 on 6 ranks.
  const std::vector<Counted> stages = counted("pipedream", 6, 24, 2);
  for (int stage = 0; stage < 6; ++stage) {
    const int updates = (5 - stage + 1) / 2;
    BOOST_CHECK_EQUAL(stages[static_cast<std::size_t>(stage)].staleness, updates);
    BOOST_CHECK_EQUAL(stages[static_cast<std::size_t>(stage)].copies, updates + 1);
  }
}

BOOST_AUTO_TEST_CASE(pipemare_begins_with_synchronous_steps) {
  const Schedule schedule =
      generated("pipemare", {.ranks = 3, .micro_batches = 12, .group = 2, .warm_up_steps = 2});
  BOOST_CHECK_EQUAL(schedule.versions.warm_up_steps, 2);
  for (std::size_t rank = 0; rank < 3; ++rank) {
    const int stage = static_cast<int>(rank);
    const std::vector<Action> flushed = {{Verb::forward, stage, 0},  {Verb::forward, stage, 1},
                                         {Verb::backward, stage, 0}, {Verb::backward, stage, 1},
                                         {Verb::step, stage},        {Verb::forward, stage, 2},
                                         {Verb::forward, stage, 3},  {Verb::backward, stage, 2},
                                         {Verb::backward, stage, 3}, {Verb::step, stage}};
    const std::vector<Action>& program = schedule.programs[rank];
    BOOST_CHECK(std::equal(flushed.begin(), flushed.end(), program.begin()));
  }
  const Schedule all = generated("pipemare", {.ranks = 3, .micro_batches = 4, .warm_up_steps = 4});
  for (const Counted& stage : counted(all)) BOOST_CHECK_EQUAL(stage, (Counted{0, 0, 0, 1}));
}

BOOST_AUTO_TEST_CASE(contracts_say_what_was_counted) {
  const ScheduleOptions four{.ranks = 4, .micro_batches = 24};
  const ScheduleOptions pairs{.ranks = 4, .micro_batches = 24, .group = 2};
  check_contract("pipedream", four, "S-1-s", "0", "S-s");
  check_contract("pipedream", pairs, "ceil((S-1-s)/m)", "0", "ceil((S-1-s)/m)+1");
  check_contract("pipedream-vsync", four, "S-1", "0", "S");
  check_contract("pipedream-2bw", four, "1", "0", "2");
  check_contract("pipemare", four, "2*(S-1-s)", "2*(S-1-s)", "1");
  check_contract("spectrain", four, "S-1-s", "S-1-s", "1");
  check_contract("xpipe", four, "ceil((S-1-s)/m)", "ceil((S-1-s)/m)", "1");
  check_contract("pipeoptim", four, "S-1-s", "S-1-s", "1");
  check_contract("nesterov", four, "S-1-s", "0", "S-s");
  check_contract("paci", four, "ceil((S-1-s)/m)", "ceil((S-1-s)/m)", "1");
  BOOST_CHECK(generated("zb-h2", 4, 8).contract == Contract{});
}

BOOST_AUTO_TEST_CASE(rules_and_corrections_are_those_of_the_papers) {
  const auto versions_of = [](std::string_view name) { return generated(name, 4, 24).versions; };
  using enum VersionRule;
  BOOST_CHECK((versions_of("pipedream") == Versions{latest, stashed, Correction::none, 1}));
  BOOST_CHECK((versions_of("pipedream-vsync") == Versions{vertical, stashed, Correction::none, 1}));
  BOOST_CHECK((versions_of("pipedream-2bw") ==
               Versions{previous_group, previous_group, Correction::none, 4}));
  BOOST_CHECK((versions_of("pipemare") == Versions{latest, latest, Correction::pipemare, 1}));
  BOOST_CHECK(
      (versions_of("spectrain") == Versions{predicted, predicted, Correction::spec_train, 1}));
  BOOST_CHECK((versions_of("xpipe") == Versions{predicted, predicted, Correction::xpipe, 4}));
  BOOST_CHECK((versions_of("pipeoptim") == Versions{predicted, latest, Correction::pipe_optim, 1}));
  BOOST_CHECK(
      (versions_of("nesterov") == Versions{latest, stashed, Correction::nesterov_delay, 1}));
  BOOST_CHECK((versions_of("paci") == Versions{latest, latest, Correction::none, 4}));
  for (const ScheduleGenerator& generator : schedule_generators()) {
    if (!generator.asynchronous) continue;
    BOOST_CHECK_GT(versions_of(generator.name).step_every, 0);
  }
}
