#define BOOST_TEST_MODULE lr_schedule
#include "models/lr_schedule.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <map>
#include <sstream>

namespace collie {
namespace {

LrSchedule schedule_named(const std::string& name) {
  const std::map<std::string, LrSchedule> names = {{"constant", LrSchedule::constant},
                                                   {"linear", LrSchedule::linear},
                                                   {"cosine", LrSchedule::cosine},
                                                   {"polynomial", LrSchedule::polynomial},
                                                   {"inverse_sqrt", LrSchedule::inverse_sqrt},
                                                   {"wsd", LrSchedule::wsd}};
  BOOST_REQUIRE(names.contains(name));
  return names.at(name);
}

void set_detail(TrainSection& train, const std::string& detail) {
  if (train.lr_schedule == LrSchedule::polynomial) train.lr_power = std::stod(detail);
  if (train.lr_schedule == LrSchedule::inverse_sqrt) train.lr_timescale = std::stoll(detail);
  if (train.lr_schedule != LrSchedule::wsd) return;
  const std::size_t colon = detail.find(':');
  const std::string shape = detail.substr(0, colon);
  train.lr_decay = shape == "linear"   ? LrDecay::linear
                   : shape == "cosine" ? LrDecay::cosine
                                       : LrDecay::one_minus_sqrt;
  train.lr_decay_steps = std::stoll(detail.substr(colon + 1));
}

BOOST_AUTO_TEST_CASE(every_step_has_the_rate_of_hugging_face_get_scheduler) {
  std::ifstream file(COLLIE_TESTS_DIR "/goldens/lr_schedule/lr_schedule.csv");
  int line_count = 0;
  for (std::string line; std::getline(file, line); ++line_count) {
    std::replace(line.begin(), line.end(), ',', ' ');
    std::istringstream columns(line);
    std::string name, detail;
    TrainSection train;
    std::int64_t total = 0, step = 0;
    double expected = 0.0;
    columns >> name >> train.lr >> train.min_lr_ratio >> train.warmup_steps >> total >> detail >>
        step >> expected;
    BOOST_REQUIRE(!columns.fail());
    train.lr_schedule = schedule_named(name);
    set_detail(train, detail);
    BOOST_TEST(std::abs(learning_rate(train, total, step) - expected) <= 1e-12 * train.lr, line);
  }
  BOOST_TEST(line_count == 454);
}

BOOST_AUTO_TEST_CASE(a_share_of_the_steps_decays_and_the_warm_up_goes_before_it) {
  TrainSection train;
  train.lr = 1.0;
  train.lr_schedule = LrSchedule::wsd;
  train.lr_decay = LrDecay::linear;
  train.lr_decay_ratio = 0.3;
  BOOST_TEST(decay_steps(train, 11) == 4);
  BOOST_TEST(learning_rate(train, 11, 6) == 1.0);
  BOOST_TEST(learning_rate(train, 11, 9) == 0.5);
  train.warmup_steps = 9;
  BOOST_TEST(decay_steps(train, 11) == 2);
  train.warmup_steps = 20;
  BOOST_TEST(decay_steps(train, 11) == 0);
}

BOOST_AUTO_TEST_CASE(linear_decay_ends_at_the_least_rate_and_stays_there) {
  TrainSection train;
  train.lr = 1.0;
  train.lr_schedule = LrSchedule::linear;
  train.min_lr_ratio = 0.5;
  train.warmup_steps = 2;
  const double expected[] = {0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.5};
  for (std::int64_t step = 0; step < 8; ++step) {
    BOOST_TEST(learning_rate(train, 6, step) == expected[step]);
  }
}

BOOST_AUTO_TEST_CASE(warm_up_as_a_share_of_the_steps_is_rounded_up) {
  TrainSection train;
  train.warmup_ratio = 0.1;
  BOOST_TEST(warmup_steps(train, 100) == 10);
  BOOST_TEST(warmup_steps(train, 101) == 11);
  train.warmup_ratio = 0.0;
  BOOST_TEST(warmup_steps(train, 101) == 0);
}

BOOST_AUTO_TEST_CASE(epochs_become_steps_rounded_up) {
  TrainSection train;
  train.epochs = 2.0;
  BOOST_TEST(total_steps(train, 10, 4) == 5);
  train.epochs = 1.0;
  BOOST_TEST(total_steps(train, 10, 4) == 3);
  train.epochs = 0.01;
  BOOST_TEST(total_steps(train, 10, 4) == 1);
  train.epochs = 0.0;
  train.max_steps = 9;
  BOOST_TEST(total_steps(train, 10, 4) == 9);
}

}  // namespace
}  // namespace collie
