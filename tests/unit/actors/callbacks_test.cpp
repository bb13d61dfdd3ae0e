// Hooks in their order, state that survives a resume, and the callbacks a configuration asks for.
#define BOOST_TEST_MODULE callbacks
#include "actors/callback.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <fstream>
#include <limits>

#include "actors/trainer.hpp"
#include "runtime/checkpoint_files.hpp"
#include "runtime/hash.hpp"
#include "tests/unit/actors/recording_callbacks.hpp"
#include "tests/unit/actors/tiny_trainer.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

TrainingReport report_of(Result<TrainingReport> result) {
  BOOST_REQUIRE_MESSAGE(result.ok(), test::message_of(result));
  return std::move(result).value();
}

const std::map<std::int64_t, double> scores{{2, 0.3}, {4, 0.6},  {6, 0.5},
                                            {8, 0.6}, {10, 0.4}, {12, 0.1}};

TrainingReport train_scripted(const TinyTrainer& tiny, const std::string& run,
                              std::vector<std::string> overrides, std::int64_t stop_after = 0,
                              std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>()) {
  for (const char* more : {"eval.every_steps=2", "grid.pp=1"}) overrides.emplace_back(more);
  const auto evaluator = std::make_shared<Scripted>(scores);
  TrainerOptions options;
  options.evaluators = {evaluator};
  Result<Trainer> trainer = Trainer::create(tiny.config(run, overrides), options);
  BOOST_REQUIRE_MESSAGE(trainer.ok(), test::message_of(trainer));
  trainer->add_callback(recorder);
  trainer->add_callback(std::make_shared<Teller>(evaluator, stop_after));
  return report_of(trainer->run());
}

std::vector<std::int64_t> best_steps(const TinyTrainer& tiny, const std::string& run) {
  return list_checkpoints(tiny.directory(run) + "/best").value();
}

// A cross entropy that is no number where it is told so.
class Poisoned final : public Loss {
 public:
  void forward_backward(Stream&, Tensor& logits, const Tensor& labels, float scale,
                        Tensor& losses) const override {
    const std::int64_t vocabulary = logits.dim(1);
    for (std::int64_t token = 0; token < logits.dim(0); ++token) {
      float* const row = logits.mutable_data<float>() + token * vocabulary;
      const std::int32_t label = labels.data<std::int32_t>()[token];
      double sum = 0.0;
      for (std::int64_t i = 0; i < vocabulary; ++i) sum += std::exp(row[i]);
      float& loss = losses.mutable_data<float>()[token];
      loss = label < 0 ? 0.0F : static_cast<float>(std::log(sum)) - row[label];
      if (poison) loss = std::numeric_limits<float>::quiet_NaN();
      for (std::int64_t i = 0; i < vocabulary; ++i) {
        const double target = i == label ? 1.0 : 0.0;
        row[i] = label < 0 ? 0.0F : static_cast<float>((std::exp(row[i]) / sum - target) * scale);
      }
    }
  }
  std::atomic<bool> poison = false;
};

class Poisoner final : public Callback {
 public:
  Poisoner(std::shared_ptr<Poisoned> loss, std::int64_t begin, std::int64_t end)
      : loss_(std::move(loss)), begin_(begin), end_(end) {}
  void on_step_begin(const StepBegin& event) override {
    loss_->poison = event.step >= begin_ && event.step < end_;
  }

 private:
  std::shared_ptr<Poisoned> loss_;
  std::int64_t begin_, end_;
};

// Steps begin ... end - 1 have a loss that is not a number.
Result<TrainingReport> train_poisoned(const TinyTrainer& tiny, const std::string& run,
                                      const std::string& action, std::int64_t begin,
                                      std::int64_t end, std::shared_ptr<Recorder> recorder = {}) {
  const auto loss = std::make_shared<Poisoned>();
  TrainerOptions options;
  options.loss = loss;
  COLLIE_TRY(Trainer trainer, Trainer::create(tiny.config(run, {"callbacks.non_finite=" + action,
                                                                "callbacks.max_skipped=2"}),
                                              options));
  trainer.add_callback(std::make_shared<Poisoner>(loss, begin, end));
  if (recorder) trainer.add_callback(recorder);
  return trainer.run();
}

}  // namespace

BOOST_AUTO_TEST_CASE(hooks_are_told_in_the_order_of_what_happens) {
  TinyTrainer tiny;
  const auto recorder = std::make_shared<Recorder>();
  Result<Trainer> trainer = Trainer::create(
      tiny.config("run", {"train.max_steps=3", "eval.every_steps=2", "checkpoint.every_steps=2",
                          "data.validation_fraction=0.5", "data.sequence_length=64"}));
  BOOST_REQUIRE_MESSAGE(trainer.ok(), test::message_of(trainer));
  trainer->add_callback(recorder);
  report_of(trainer->run());
  const std::vector<std::string> expected{"setup",
                                          "initialized",
                                          "start",
                                          "epoch 1",
                                          "begin 1",
                                          "step 1",
                                          "begin 2",
                                          "step 2",
                                          "evaluate validation",
                                          "result validation",
                                          "checkpoint",
                                          "begin 3",
                                          "step 3",
                                          "checkpoint",
                                          "evaluate validation",
                                          "result validation",
                                          "trained",
                                          "model",
                                          "end"};
  BOOST_TEST(recorder->told == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(epochs_begin_and_end_where_their_rows_do) {
  TinyTrainer tiny;
  const auto recorder = std::make_shared<Recorder>();
  Result<Trainer> trainer =
      Trainer::create(tiny.config("run", {"train.max_steps=0", "train.epochs=2",
                                          "train.micro_batch_size=16", "data.sequence_length=64"}));
  BOOST_REQUIRE_MESSAGE(trainer.ok(), test::message_of(trainer));
  trainer->add_callback(recorder);
  const TrainingReport report = report_of(trainer->run());
  BOOST_CHECK_GT(report.steps_done, 2);
  std::vector<std::string> epochs;
  for (const std::string& what : recorder->told) {
    if (what.starts_with("epoch")) epochs.push_back(what);
  }
  const std::vector<std::string> expected{"epoch 1", "epoch end 1", "epoch 2", "epoch end 2"};
  BOOST_TEST(epochs == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_a_callback_keeps_survives_a_resume) {
  TinyTrainer tiny;
  train_scripted(tiny, "run", {}, 5);
  const auto recorder = std::make_shared<Recorder>();
  train_scripted(tiny, "run", {}, 0, recorder);
  BOOST_REQUIRE_GT(recorder->told.size(), 4U);
  const std::vector<std::string> begin(recorder->told.begin(), recorder->told.begin() + 4);
  const std::vector<std::string> expected{"setup", "load", "state 5", "initialized"};
  BOOST_TEST(begin == expected, boost::test_tools::per_element());
  BOOST_CHECK_EQUAL(recorder->steps, tiny_steps);
}

BOOST_AUTO_TEST_CASE(the_best_checkpoints_stay_and_the_best_becomes_the_model) {
  TinyTrainer tiny;
  const std::vector<std::string> best{"checkpoint.best.metric=scripted#score",
                                      "checkpoint.best.keep=2", "checkpoint.best.load=true"};
  const TrainingReport report = train_scripted(tiny, "run", best);
  BOOST_TEST(best_steps(tiny, "run") == (std::vector<std::int64_t>{4, 8}),
             boost::test_tools::per_element());
  const auto checkpoint = Checkpoint::open(tiny.directory("run") + "/best/checkpoint-4");
  BOOST_REQUIRE(checkpoint.ok());
  BOOST_CHECK_EQUAL(checkpoint->run().at("parameter_hash").get<std::string>(),
                    hash_text(report.parameter_hash));
  const TrainingReport last = train_scripted(tiny, "last", {});
  BOOST_CHECK(last.parameter_hash != report.parameter_hash);
  // A resumed run knows those of the session before, and drops what it does not.
  train_scripted(tiny, "stopped", best, 7);
  BOOST_TEST(best_steps(tiny, "stopped") == (std::vector<std::int64_t>{4, 6}),
             boost::test_tools::per_element());
  const TrainingReport resumed = train_scripted(tiny, "stopped", best);
  BOOST_TEST(best_steps(tiny, "stopped") == (std::vector<std::int64_t>{4, 8}),
             boost::test_tools::per_element());
  BOOST_CHECK_EQUAL(resumed.parameter_hash, report.parameter_hash);
  // The other way round.
  std::vector<std::string> least = best;
  least.emplace_back("checkpoint.best.mode=min");
  train_scripted(tiny, "least", least);
  BOOST_TEST(best_steps(tiny, "least") == (std::vector<std::int64_t>{2, 12}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_run_without_improvement_ends_early_with_its_model) {
  TinyTrainer tiny;
  const std::vector<std::string> stop{"callbacks.early_stop.metric=scripted#score",
                                      "callbacks.early_stop.patience=2"};
  const TrainingReport report = train_scripted(tiny, "run", stop);
  BOOST_CHECK_EQUAL(report.steps_done, 8);  // 6 and 8 are not better than 4
  BOOST_CHECK(!report.stopped_early);
  BOOST_CHECK(report.finish_reason.find("scripted#score") != std::string::npos);
  BOOST_CHECK(exists(tiny.directory("run") + "/model/config.json"));
  // Told again, it stays ended; with more patience it goes on.
  BOOST_CHECK_EQUAL(train_scripted(tiny, "run", stop).steps_done, 8);
  std::vector<std::string> patient = stop;
  patient.emplace_back("callbacks.early_stop.patience=9");
  BOOST_CHECK_EQUAL(train_scripted(tiny, "run", patient).steps_done, tiny_steps);
  std::vector<std::string> margin = stop;
  margin.emplace_back("callbacks.early_stop.min_delta=0.5");
  BOOST_CHECK_EQUAL(train_scripted(tiny, "margin", margin).steps_done, 6);
  // The count goes on over a stop.
  train_scripted(tiny, "stopped", stop, 7);
  BOOST_CHECK_EQUAL(train_scripted(tiny, "stopped", stop).steps_done, 8);
}

BOOST_AUTO_TEST_CASE(a_step_that_is_not_finite_is_left_out_or_stops_the_run) {
  TinyTrainer tiny;
  const TrainingReport sound = report_of(train_poisoned(tiny, "sound", "error", 0, 0));
  test::check_error(train_poisoned(tiny, "error", "error", 3, 4), ErrorCode::non_finite, "step 3");
  const TrainingReport stopped = report_of(train_poisoned(tiny, "run", "stop", 5, 6));
  BOOST_CHECK(stopped.stopped_early);
  BOOST_CHECK_EQUAL(stopped.steps_done, 4);
  const TrainingReport resumed = report_of(train_poisoned(tiny, "run", "stop", 0, 0));
  BOOST_CHECK_EQUAL(resumed.parameter_hash, sound.parameter_hash);
  const auto recorder = std::make_shared<Recorder>();
  const TrainingReport skipped = report_of(train_poisoned(tiny, "skip", "skip", 5, 7, recorder));
  BOOST_CHECK_EQUAL(skipped.steps_done, tiny_steps);
  BOOST_CHECK_EQUAL(recorder->steps, tiny_steps - 2);
  BOOST_REQUIRE_EQUAL(recorder->notes.size(), 2U);
  BOOST_CHECK(recorder->notes[1].find("step 6") != std::string::npos);
  BOOST_CHECK(skipped.parameter_hash != sound.parameter_hash);
  test::check_error(train_poisoned(tiny, "many", "skip", 5, 8), ErrorCode::non_finite, "step 7");
}

BOOST_AUTO_TEST_CASE(samples_are_written_every_so_many_steps) {
  TinyTrainer tiny;
  const std::vector<std::string> common{"callbacks.samples.prompts=[\"the \", \"a cat\"]",
                                        "callbacks.samples.every_steps=5",
                                        "callbacks.samples.max_tokens=4"};
  const TrainingReport plain = report_of(tiny.train("plain"));
  for (const char* grid : {"grid.pp=2", "grid.tp=2", "train.post_validation=true"}) {
    std::vector<std::string> overrides = common;
    overrides.emplace_back(grid);
    const std::string run = std::string(grid).substr(5, 4);
    const TrainingReport report = report_of(tiny.train(run, overrides));
    if (std::string_view(grid) != "grid.tp=2") {
      BOOST_CHECK_EQUAL(report.parameter_hash, plain.parameter_hash);
    }
    std::vector<std::string> seen;
    std::ifstream file(tiny.directory(run) + "/samples.jsonl");
    for (std::string line; std::getline(file, line);) {
      const Json sample = parse_json(line, "samples").value();
      seen.push_back(fmt::format("{} {}", sample.at("step").get<int>(),
                                 sample.at("prompt").get<std::string>()));
    }
    const std::vector<std::string> expected{"5 the ",   "5 a cat", "10 the ",
                                            "10 a cat", "12 the ", "12 a cat"};
    BOOST_TEST(seen == expected, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_figure_that_nobody_gives_is_refused) {
  TinyTrainer tiny;
  const auto refused = [&](std::vector<std::string> overrides, const std::string& message) {
    test::check_error(tiny.train("run", std::move(overrides)), ErrorCode::invalid_config, message);
  };
  refused({"checkpoint.best.load=true"}, "checkpoint.best.metric: nothing is evaluated");
  refused({"data.validation_fraction=0.2", "callbacks.early_stop.patience=1",
           "callbacks.early_stop.metric=validation#los"},
          "did you mean 'validation#loss'?");
}
