#define BOOST_TEST_MODULE schedule
#include "actors/schedule/validate.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;

namespace {

std::string text_of(const std::vector<Action>& program) {
  std::string text;
  for (const Action& action : program) text += (text.empty() ? "" : " ") + to_string(action);
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(one_f_one_b_is_the_published_order) {
  // torch.distributed.pipelining, Schedule1F1B, 4 stages, 8 micro-batches.
  const Schedule schedule = generated("1f1b", 4, 8);
  BOOST_CHECK_EQUAL(text_of(schedule.programs[0]),
                    "0F0 0F1 0F2 0F3 0B0 0F4 0B1 0F5 0B2 0F6 0B3 0F7 0B4 0B5 0B6 0B7 STEP0");
  BOOST_CHECK_EQUAL(text_of(schedule.programs[3]),
                    "3F0 3B0 3F1 3B1 3F2 3B2 3F3 3B3 3F4 3B4 3F5 3B5 3F6 3B6 3F7 3B7 STEP3");
}

BOOST_AUTO_TEST_CASE(gpipe_runs_all_forwards_first) {
  const Schedule schedule = generated("gpipe", 2, 3);
  BOOST_CHECK_EQUAL(text_of(schedule.programs[1]), "1F0 1F1 1F2 1B0 1B1 1B2 STEP1");
}

BOOST_AUTO_TEST_CASE(both_end_with_one_credit_and_gpipe_holds_everything) {
  for (const int stages : {1, 2, 4, 7}) {
    for (const int micro_batches : {1, 2, 3, 8}) {
      const Schedule pipe = generated("gpipe", stages, micro_batches);
      const Schedule interleaved = generated("1f1b", stages, micro_batches);
      BOOST_CHECK(check_schedule(pipe).ok());
      BOOST_CHECK(check_schedule(interleaved).ok());
      for (int rank = 0; rank < stages; ++rank) {
        BOOST_CHECK_EQUAL(peak_in_flight(pipe, rank), micro_batches);
        BOOST_CHECK_EQUAL(peak_in_flight(interleaved, rank),
                          std::min(micro_batches, stages - rank));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_wrong_order_is_named) {
  Schedule schedule = generated("1f1b", 2, 2);
  std::swap(schedule.programs[1][0], schedule.programs[1][1]);  // backward before forward
  const Status status = check_schedule(schedule);
  BOOST_REQUIRE(!status.ok());
  BOOST_TEST(status.error().message.find("rank 1 does 1B0 as action 1") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_missing_backward_is_named) {
  Schedule schedule = generated("1f1b", 1, 2);
  schedule.programs[0].erase(schedule.programs[0].begin() + 1);
  const Status status = check_schedule(schedule);
  BOOST_REQUIRE(!status.ok());
  BOOST_TEST(status.error().message.find("stage 0 micro-batch 0") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_unknown_name_lists_the_known) {
  const auto schedule = make_schedule("2f2b", {.ranks = 2, .micro_batches = 2});
  BOOST_REQUIRE(!schedule.ok());
  BOOST_TEST(schedule.error().message.find("gpipe, 1f1b") != std::string::npos);
}
