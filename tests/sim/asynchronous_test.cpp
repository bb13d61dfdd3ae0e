// Asynchronous schedules against delayed SGD written down sequentially: one micro-batch after the
// other, each stage's forward and backward with the versions that the paper says, to the last bit.
#define BOOST_TEST_MODULE asynchronous
#include "tests/sim/asynchronous.hpp"

using namespace collie;
using namespace collie::testing;

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
  DelayedSgd delayed(run, pipedream, 4);
  DelayedSgd other(run, vertical_sync, 4);
  for (int step = 0; step < async_rounds; ++step) {
    delayed.round(step);
    other.round(step);
  }
  BOOST_CHECK(std::memcmp(delayed.values(1).data(), other.values(1).data(),
                          delayed.values(1).size_bytes()) != 0);
}
