#define BOOST_TEST_MODULE schedule_versions
#include "tests/unit/actors/schedule/generated.hpp"
#include "tests/unit/actors/schedule/violations.hpp"

using namespace collie;

namespace {

using Numbers = std::vector<int>;

// One number of each stage.
Numbers each(const Validation& validation, int StageVersions::*member) {
  Numbers numbers;
  for (const StageVersions& stage : validation.versions) numbers.push_back(stage.*member);
  return numbers;
}

void check_stages(std::string_view name, const Numbers& staleness, const Numbers& mismatch,
                  const Numbers& versions) {
  const Validation validation = validate(generated(name, 4, 16));
  BOOST_TEST_CONTEXT(name) {
    BOOST_TEST(validation.ok());
    BOOST_TEST(each(validation, &StageVersions::staleness_min) == staleness,
               boost::test_tools::per_element());
    BOOST_TEST(each(validation, &StageVersions::staleness_max) == staleness,
               boost::test_tools::per_element());
    BOOST_TEST(each(validation, &StageVersions::mismatch_max) == mismatch,
               boost::test_tools::per_element());
    BOOST_TEST(each(validation, &StageVersions::versions) == versions,
               boost::test_tools::per_element());
  }
}

// One rank, STEP behind every backward, and `ahead` forwards before the first of them.
Schedule one_rank(int ahead, int micro_batches) {
  Schedule schedule{.name = "one-rank",
                    .placement = Placement::linear(1),
                    .micro_batches = micro_batches,
                    .versions = {.step_every = 1},
                    .contract = {.synchronous = false,
                                 .staleness = std::to_string(ahead),
                                 .versions = std::to_string(ahead + 1)},
                    .programs = {{}}};
  for (int mb = 0; mb < ahead; ++mb) schedule.programs[0].push_back({Verb::forward, 0, mb});
  for (int mb = 0; mb < micro_batches; ++mb) {
    if (mb + ahead < micro_batches) schedule.programs[0].push_back({Verb::forward, 0, mb + ahead});
    schedule.programs[0].push_back({Verb::backward, 0, mb});
    schedule.programs[0].push_back({Verb::step, 0});
  }
  return schedule;
}

Schedule with_contract(Schedule schedule, Contract contract) {
  contract.synchronous = schedule.contract.synchronous;
  schedule.contract = std::move(contract);
  return schedule;
}

void insert(Schedule& schedule, int position, Verb verb, int version) {
  auto& program = schedule.programs[0];
  program.insert(program.begin() + position, {verb, 0, version});
}

}  // namespace

// Narayanan et al. 2019 and 2021; Yang et al. 2021: tau, mu and copies on four stages.
BOOST_AUTO_TEST_CASE(staleness_and_copies_are_the_published) {
  check_stages("1f1b", {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1});
  check_stages("pipedream", {3, 2, 1, 0}, {0, 0, 0, 0}, {4, 3, 2, 1});
  check_stages("pipedream-vsync", {3, 3, 3, 3}, {0, 0, 0, 0}, {4, 4, 4, 4});
  check_stages("pipedream-2bw", {1, 1, 1, 1}, {0, 0, 0, 0}, {2, 2, 2, 2});
  check_stages("pipemare", {6, 4, 2, 0}, {6, 4, 2, 0}, {1, 1, 1, 1});
  check_stages("nesterov", {3, 2, 1, 0}, {0, 0, 0, 0}, {4, 3, 2, 1});
}

// Vertical sync needs versions that no micro-batch of the stage uses yet; papers count the others.
BOOST_AUTO_TEST_CASE(versions_in_use_leave_out_those_that_wait) {
  BOOST_TEST(each(validate(generated("pipedream-vsync", 4, 16)), &StageVersions::versions_in_use) ==
                 (Numbers{4, 4, 3, 2}),
             boost::test_tools::per_element());
  BOOST_TEST(each(validate(generated("pipedream", 4, 16)), &StageVersions::versions_in_use) ==
                 (Numbers{4, 3, 2, 1}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(local_steps_are_at_most_one_update_stale) {
  const Validation validation = validate(generated("paci", 4, 16));
  BOOST_TEST(validation.ok());
  BOOST_TEST(each(validation, &StageVersions::staleness_min) == (Numbers{0, 0, 0, 0}),
             boost::test_tools::per_element());
  BOOST_TEST(each(validation, &StageVersions::staleness_max) == (Numbers{1, 1, 1, 0}),
             boost::test_tools::per_element());
  // ceil((P-1-s)/a) for other groups.
  for (const int group : {1, 2, 3, 8}) {
    const Validation other =
        validate(generated("paci", {.ranks = 4, .micro_batches = 24, .group = group}));
    for (int s = 0; s < 4; ++s) {
      BOOST_CHECK_EQUAL(other.versions[static_cast<std::size_t>(s)].staleness_max,
                        (3 - s + group - 1) / group);
    }
  }
}

// The version before last exists in time if and only if a group has P-1-s micro-batches or more.
BOOST_AUTO_TEST_CASE(double_buffering_needs_groups_as_long_as_the_pipeline_is_deep) {
  for (const int group : {3, 2}) {
    Schedule schedule = generated("pipedream", {.ranks = 4, .micro_batches = 12, .group = group});
    schedule.versions.forward = schedule.versions.backward = VersionRule::previous_group;
    schedule.contract = {.synchronous = false, .staleness = "1", .versions = "2"};
    if (group == 3) {
      check_valid(schedule);
      continue;
    }
    const Validation validation = validate(schedule);
    BOOST_REQUIRE(!validation.ok());
    const std::string& sentence = validation.violations[0].sentence;
    BOOST_TEST(sentence.find("rank 0 does 0F4") != std::string::npos, sentence);
    BOOST_TEST(sentence.find("reads version 1 of stage 0, but only 0 STEPs") != std::string::npos,
               sentence);
    BOOST_TEST(sentence.find("groups of at least 3") != std::string::npos, sentence);
  }
}

BOOST_AUTO_TEST_CASE(a_broken_promise_is_named) {
  const Schedule pipedream = generated("pipedream", 4, 16);
  check_violates(with_contract(pipedream, {.staleness = "S-1-s", .versions = "S-1-s"}),
                 Invariant::version_window, {"stage 0 has 4 weight versions", "at most 3"});
  const Validation late = validate(with_contract(pipedream, {.staleness = "1", .versions = "S-s"}));
  BOOST_CHECK_EQUAL(names_of(late), "version consistency, async equivalence");
  BOOST_TEST(late.violations[0].sentence.find(
                 "has staleness 2, but the contract promises 0 to 1") != std::string::npos);
  check_violates(with_contract(pipedream, {.staleness = "S-1", .versions = "S"}),
                 Invariant::async_equivalence,
                 {"stage 1", "delayed SGD with staleness 3 and mismatch 0 reads"});
  Schedule latest = pipedream;
  latest.versions.backward = VersionRule::latest;
  const Validation mismatched = validate(latest);
  BOOST_CHECK_EQUAL(names_of(mismatched), "version consistency, async equivalence");
  BOOST_TEST(mismatched.violations[0].sentence.find("mismatch 1") != std::string::npos);
  check_violates(with_contract(pipedream, {.staleness = "S-1-q"}), Invariant::version_consistency,
                 {"contract staleness 'S-1-q'"});
}

BOOST_AUTO_TEST_CASE(updates_take_their_groups) {
  Schedule schedule = one_rank(1, 6);
  check_valid(schedule);
  Schedule changed = schedule;
  changed.programs[0].pop_back();
  check_violates(changed, Invariant::async_equivalence,
                 {"1 gradients of micro-batches 5 to 5 enter no STEP"});
  changed = schedule;
  changed.programs[0].push_back({Verb::step, 0});
  check_violates(changed, Invariant::async_equivalence, {"STEP0 number 7 takes 0 gradients"});
  changed.programs[0].pop_back();
  changed.versions.step_every = 0;
  BOOST_TEST(names_of(validate(changed)) == "async equivalence");
}

BOOST_AUTO_TEST_CASE(forwards_read_versions_in_order) {
  Schedule schedule = generated("pipedream-vsync", 2, 4);
  std::swap(schedule.programs[1][6], schedule.programs[1][9]);
  std::swap(schedule.programs[1][7], schedule.programs[1][10]);
  const Validation validation = validate(schedule);
  BOOST_REQUIRE(!validation.ok());
  BOOST_TEST(names_of(validation).find("version window") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(pins_keep_what_is_read_later) {
  // F0 F1 B0 STEP F2 B1 STEP B2 STEP: B1 reads version 0 behind the first STEP, B2 version 1.
  Schedule schedule = one_rank(1, 3);
  insert(schedule, 0, Verb::pin, 0);   // PIN0.0 F0 F1 B0 STEP F2 B1 STEP B2 STEP
  insert(schedule, 5, Verb::pin, 1);   // PIN0.0 F0 F1 B0 STEP PIN0.1 F2 B1 STEP B2 STEP
  insert(schedule, 8, Verb::drop, 0);  // ... B1 DROP0.0 STEP B2 STEP
  insert(schedule, 11, Verb::drop, 1);
  check_valid(schedule);
  BOOST_CHECK_EQUAL(validate(schedule).versions[0].versions, 2);
  Schedule early = schedule;
  std::swap(early.programs[0][7], early.programs[0][8]);  // DROP0.0 before B1
  check_violates(early, Invariant::lifetime,
                 {"rank 0 does 0B1", "version 0 of stage 0, which is neither the latest (1) nor"});
  Schedule leaking = schedule;
  leaking.programs[0].erase(leaking.programs[0].begin() + 11);
  check_violates(leaking, Invariant::lifetime, {"version 1 of stage 0 is still pinned at the end"});
  Schedule unknown = schedule;
  insert(unknown, 9, Verb::drop, 0);
  check_violates(unknown, Invariant::lifetime, {"DROP0.0", "version 0 of stage 0 is not pinned"});
  Schedule twice = schedule;
  insert(twice, 1, Verb::pin, 0);
  check_violates(twice, Invariant::lifetime, {"pinned already"});
}

BOOST_AUTO_TEST_CASE(a_recompute_reads_what_its_forward_read) {
  Schedule schedule = one_rank(1, 3);
  insert(schedule, 5, Verb::recompute, 1);  // F0 F1 B0 STEP F2 R1 B1 ...
  check_valid(schedule);
  schedule.versions.backward = VersionRule::latest;
  schedule.contract = {.synchronous = false, .staleness = "1", .mismatch = "1", .versions = "1"};
  check_violates(schedule, Invariant::recompute,
                 {"0R1", "version 1 of stage 0", "forward read version 0"});
  schedule = one_rank(1, 3);
  insert(schedule, 5, Verb::recompute, 1);
  insert(schedule, 5, Verb::recompute, 1);
  check_violates(schedule, Invariant::recompute, {"0R1", "not for the first time"});
}

BOOST_AUTO_TEST_CASE(a_recompute_counts_from_where_it_is) {
  Schedule schedule = generated("gpipe", 1, 3);  // F0 F1 F2 B0 B1 B2
  BOOST_CHECK_EQUAL(validate(schedule).peak_activations[0], 3.0);
  for (const int mb : {2, 1, 0}) insert(schedule, 3 + mb, Verb::recompute, mb);
  check_valid(schedule, {.memory_cap = 1.0});
  BOOST_CHECK_EQUAL(validate(schedule).peak_activations[0], 1.0);
  std::swap(schedule.programs[0][4], schedule.programs[0][5]);  // R0 R1 B0 B1
  BOOST_CHECK_EQUAL(validate(schedule).peak_activations[0], 2.0);
}

// F0 F1 B0 STEP F2 B1 STEP B2 STEP with predicted forwards.
BOOST_AUTO_TEST_CASE(predictions_are_made_where_they_are_read) {
  Schedule usual = one_rank(1, 3);
  usual.versions = {.forward = VersionRule::predicted,
                    .backward = VersionRule::latest,
                    .correction = Correction::pipe_optim,
                    .step_every = 1};
  usual.contract = {.synchronous = false, .staleness = "1", .mismatch = "1", .versions = "1"};
  check_valid(usual);
  Schedule schedule = usual;
  insert(schedule, 4, Verb::predict, 1);  // before F2
  check_violates(schedule, Invariant::lifetime, {"0F0", "no PREDICT0 comes before"});
  insert(schedule, 0, Verb::predict, 0);
  check_valid(schedule);
  BOOST_CHECK_EQUAL(validate(schedule).versions[0].versions, 1);
  // One update earlier: F2 reads what was made from version 0.
  Schedule early = schedule;
  std::swap(early.programs[0][4], early.programs[0][5]);
  std::swap(early.programs[0][3], early.programs[0][4]);
  const Validation late = validate(early);
  BOOST_CHECK_EQUAL(names_of(late), "version consistency, async equivalence");
  Schedule far = schedule;
  far.programs[0][5].micro_batch = 2;
  check_violates(far, Invariant::version_consistency,
                 {"PREDICT0.2, 2 updates ahead", "predicted 1 ahead: write PREDICT0"});
  Schedule unread = one_rank(1, 3);
  insert(unread, 0, Verb::predict, 0);
  check_violates(unread, Invariant::lifetime, {"nothing reads predicted weights"});
  // R of micro-batch 1 behind the next PREDICT, and before it.
  Schedule recomputed = schedule;
  insert(recomputed, 7, Verb::recompute, 1);
  check_violates(recomputed, Invariant::recompute, {"0R1", "a PREDICT0 came after its forward"});
  recomputed = schedule;
  insert(recomputed, 5, Verb::recompute, 1);
  check_valid(recomputed);
  recomputed.versions.correction = Correction::xpipe;
  recomputed.programs[0][6].micro_batch = 0;  // xpipe's horizon is another
  check_valid(recomputed);
  recomputed = usual;
  recomputed.versions.correction = Correction::xpipe;
  insert(recomputed, 2, Verb::recompute, 0);
  check_violates(recomputed, Invariant::recompute, {"0R0", "xpipe predicts once"});
}
