// A tiny run through the public Trainer, on text that the test writes.
#pragma once

#include <boost/test/unit_test.hpp>

#include "actors/trainer.hpp"
#include "tests/unit/runtime/temporary_directory.hpp"

namespace collie::testing {

inline constexpr std::int64_t tiny_steps = 12;

class TinyTrainer {
 public:
  TinyTrainer() {
    std::string text;
    for (int line = 0; line < 600; ++line) {
      text += fmt::format("the {} cat sees {} ships and letter {}\n", line % 7, line % 11,
                          line * line % 13);
    }
    text_ = folder_.put("text.txt", text);
  }

  std::string directory(const std::string& run) const { return folder_.file(run); }
  RunConfig config(const std::string& run, std::vector<std::string> overrides = {}) const {
    overrides.insert(overrides.begin(),
                     {"data.train=" + text_, "output.directory=" + directory(run),
                      fmt::format("train.max_steps={}", tiny_steps), "train.accumulation=4"});
    const std::string tiny = std::string(COLLIE_TESTS_DIR) + "/../configs/tiny.json";
    Result<RunConfig> config = load_config(tiny, overrides);
    BOOST_REQUIRE_MESSAGE(config.ok(), test::message_of(config));
    return std::move(config).value();
  }

  // Trains to the end, or stops after so many steps.
  Result<TrainingReport> train(const std::string& run, std::vector<std::string> overrides = {},
                               std::int64_t stop_after = 0);

 private:
  test::TemporaryDirectory folder_;
  std::string text_;
};

// Asks for a stop after a step, keeps the warnings of the start.
class Watcher : public Callback {
 public:
  Watcher(std::atomic<bool>& stop, std::int64_t stop_after)
      : stop_(stop), stop_after_(stop_after) {}
  void on_start(const RunInfo& info) override { warnings = info.warnings; }
  void on_step(const StepEvent& event) override {
    if (event.step == stop_after_) stop_ = true;
  }
  std::vector<std::string> warnings;

 private:
  std::atomic<bool>& stop_;
  std::int64_t stop_after_;
};

inline Result<TrainingReport> TinyTrainer::train(const std::string& run,
                                                 std::vector<std::string> overrides,
                                                 std::int64_t stop_after) {
  std::atomic<bool> stop{false};
  TrainerOptions options;
  options.stop = &stop;
  COLLIE_TRY(Trainer trainer, Trainer::create(config(run, std::move(overrides)), options));
  trainer.add_callback(std::make_shared<Watcher>(stop, stop_after));
  return trainer.run();
}

}  // namespace collie::testing
