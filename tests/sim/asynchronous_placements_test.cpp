// Asynchronous schedules whose ranks hold several stages, and programs with R, PREDICT and FENCE,
// against the same sequential oracle, to the last bit.
#define BOOST_TEST_MODULE asynchronous_placements
#include "actors/schedule/text_format.hpp"
#include "runtime/file.hpp"
#include "tests/sim/asynchronous.hpp"
#include "tests/sim/folded.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

Schedule made(const Rule& rule, int ranks) {
  return make_schedule(rule.schedule, {.ranks = ranks,
                                       .micro_batches = 16,
                                       .group = rule.group == 1 ? 0 : rule.group,
                                       .warm_up_steps = rule.warm_up})
      .value();
}

Schedule example(const std::string& name) {
  const std::string path = COLLIE_TESTS_DIR "/../configs/schedules/" + name + ".schedule";
  return parse_schedule(read_file(path, 1 << 16).value(), name).value();
}

std::vector<Placement> four_stages() {
  return {Placement::looped(2, 2), Placement::wave(2, 2),
          Placement::table(3, {0, 2, 2, 1}).value()};
}

void check_refused(const Schedule& schedule, std::string_view part) {
  const Status status = check_trainable(schedule);
  BOOST_REQUIRE(!status.ok());
  BOOST_TEST(status.error().message.find(part) != std::string::npos, status.error().message);
}

int half_way(int s, int stages, int j, int) {
  return std::max(0, j - (stages - s) / 2);
}
int one_more(int s, int stages, int j, int) {
  return std::max(0, j - (stages - s));
}
// PREDICT before the first forward of a group and before its first backward, which comes behind
// S-1-s forwards more.
int twice_a_group(int s, int stages, int j, int group) {
  const bool is_before_backward = j % group <= stages - 1 - s;
  return is_before_backward ? latest_at_forward(s, stages, j / group * group, group) : j / group;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_rank_with_several_stages_keeps_versions_of_each) {
  for (const Rule& rule : {pipedream, vertical_sync, double_buffered, local_steps, fine_grained,
                           own_direction, look_ahead}) {
    const Schedule linear = made(rule, 4);
    for (const Placement& placement : four_stages()) {
      check_given(folded(linear, placement), rule, 2);
    }
  }
}

BOOST_AUTO_TEST_CASE(every_stage_on_one_rank) {
  check_given(folded(made(pipedream, 3), Placement::looped(1, 3)), pipedream);
}

BOOST_AUTO_TEST_CASE(warm_up_on_a_looped_placement) {
  Rule rule = fine_grained;
  rule.warm_up = 3;
  check_given(folded(made(rule, 4), Placement::looped(2, 2)), rule);
}

BOOST_AUTO_TEST_CASE(files_written_by_hand) {
  check_given(example("async-looped"), pipedream, 10);
  Rule v = pipedream;
  v.forward = v.backward = half_way;
  const Schedule with_r = example("async-v");
  BOOST_CHECK_EQUAL(count_of(with_r, Verb::recompute), 16U);
  check_given(with_r, v, 10);
  const Validation proved = validate(with_r);
  const std::vector<int> wanted = {2, 1, 1, 0};
  for (std::size_t s = 0; s < wanted.size(); ++s) {
    BOOST_CHECK_EQUAL(proved.versions[s].staleness_max, wanted[s]);
    BOOST_CHECK_EQUAL(proved.versions[s].versions, wanted[s] + 1);
  }
}

BOOST_AUTO_TEST_CASE(pins_and_fences_written_by_hand) {
  const Schedule schedule = example("versions-by-hand");
  BOOST_CHECK_EQUAL(count_of(as_trained(schedule), Verb::fence), 2U);
  check_given(schedule, pipedream, 10);
}

BOOST_AUTO_TEST_CASE(recomputed_activations_read_the_forwards_weights) {
  for (const Rule& rule : {pipedream, vertical_sync, double_buffered, look_ahead}) {
    const Schedule recomputed = with_recompute(made(rule, 4));
    BOOST_CHECK_EQUAL(count_of(recomputed, Verb::recompute), 64U);
    check_given(recomputed, rule, 2);
    check_given(folded(recomputed, Placement::wave(2, 2)), rule, 2);
  }
}

BOOST_AUTO_TEST_CASE(a_prediction_stands_until_the_next) {
  Rule rule = own_direction;
  rule.forward = one_more;
  rule.horizon = [](int s, int stages) { return stages - s; };
  check_given(example("predictions-by-hand"), rule, 10);
  // The same on four stages, by hand too: PREDICT at the begin and before each backward.
  Schedule early = with_actions(made(own_direction, 4), [](const auto& program, std::size_t at) {
    std::vector<Action> added;
    if (at == 0 || program[at].verb == Verb::backward) {
      added.push_back({Verb::predict, program[at].stage});
    }
    return added;
  });
  early.contract.staleness = early.contract.mismatch = "S-s";
  check_given(early, rule);
  check_given(folded(early, Placement::looped(2, 2)), rule, 2);
  // The last stage's forwards and R's read one prediction, its backwards the latest weights.
  Schedule recomputed = early;
  recomputed.programs[3].clear();
  for (const Action& action : early.programs[3]) {
    recomputed.programs[3].push_back(action);
    if (action.verb != Verb::forward) continue;
    recomputed.programs[3].push_back({Verb::recompute, 3, action.micro_batch});
  }
  check_given(recomputed, rule, 2);
  Rule rounded = rule;
  rounded.dtype = DType::bf16;
  check_given(early, rounded, 1);
  check_given(early, with(rule, "sgd"), 1);
}

BOOST_AUTO_TEST_CASE(predictions_at_every_place_are_the_usual_ones) {
  for (const Rule& rule : {own_direction, velocity}) {
    const Schedule written = with_actions(made(rule, 4), [](const auto& program, std::size_t at) {
      std::vector<Action> added;
      if (is_computed(program[at].verb)) added.push_back({Verb::predict, program[at].stage});
      return added;
    });
    check_given(written, rule);
  }
}

BOOST_AUTO_TEST_CASE(one_prediction_is_read_by_forwards_and_backwards) {
  const Schedule written =
      with_actions(made(per_mini_batch, 4), [](const auto& program, std::size_t at) {
        std::vector<Action> added;
        if (is_computed(program[at].verb) && program[at].micro_batch % 4 == 0) {
          added.push_back({Verb::predict, program[at].stage});
        }
        return added;
      });
  Rule rule = per_mini_batch;
  rule.fix = Fix::spec_train;  // a prediction of its own for each version that a forward reads
  rule.forward = twice_a_group;
  check_given(written, rule);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_trained_is_refused_with_its_reason) {
  Schedule both_ways = make_schedule("chimera", {.ranks = 2, .micro_batches = 4}).value();
  both_ways.contract.synchronous = false;
  both_ways.versions.step_every = 1;
  check_refused(both_ways, "the two replicas of a stage would update by themselves");
  check_refused(folded(made(velocity, 4), Placement::wave(2, 2)), "pipe-optim predicts on any");
  Schedule fenced = make_schedule("1f1b", {.ranks = 2, .micro_batches = 4}).value();
  for (auto& program : fenced.programs) program.push_back({Verb::fence});
  check_refused(fenced, "FENCE stands behind STEP0");
  Schedule chosen = make_schedule("1f1b", {.ranks = 2, .micro_batches = 4}).value();
  chosen.policy.priority = {Verb::backward, Verb::forward};
  chosen = with_recompute(chosen);
  check_refused(chosen, "R0 needs an order");
}
