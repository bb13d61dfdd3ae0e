// Ends a run early when the validation loss has not become better for a while. A callback hears of
// everything that happens, between steps, on the thread that called run().
//
//   cmake --build build/release --target example_callback
//   build/release/examples/example_callback configs/tiny.json data.train=text.txt
//     data.validation_fraction=0.1 eval.every_steps=2 train.max_steps=100
#include <atomic>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "actors/trainer.hpp"

namespace {

class EarlyStop final : public collie::Callback {
 public:
  EarlyStop(std::atomic<bool>& stop, int patience) : stop_(stop), patience_(patience) {}

  void on_step(const collie::StepEvent& step) override {
    fmt::print("{}/{} loss {:.4f}\n", step.step, step.total_steps, step.loss);
  }

  void on_evaluation(const collie::EvaluationEvent& evaluation) override {
    fmt::print("validation loss {:.4f} after {} steps\n", evaluation.loss, evaluation.step);
    if (evaluation.loss < best_) {
      best_ = evaluation.loss;
      since_best_ = 0;
    } else if (++since_best_ >= patience_) {
      fmt::print("no better for {} evaluations: stopping\n", patience_);
      stop_ = true;  // the trainer ends the run after the next step and saves it
    }
  }

 private:
  std::atomic<bool>& stop_;
  int patience_;
  int since_best_ = 0;
  double best_ = std::numeric_limits<double>::infinity();
};

collie::Status train(const std::string& path, const std::vector<std::string>& overrides) {
  COLLIE_TRY(const collie::RunConfig config, collie::load_config(path, overrides));
  std::atomic<bool> stop = false;
  collie::TrainerOptions options;
  options.stop = &stop;
  COLLIE_TRY(collie::Trainer trainer, collie::Trainer::create(config, options));
  trainer.add_callback(std::make_shared<EarlyStop>(stop, 3));
  COLLIE_TRY(const collie::TrainingReport report, trainer.run());
  fmt::print("{} after {} steps\n", report.stopped_early ? "stopped" : "finished",
             report.steps_done);
  return collie::ok_status();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: {} CONFIG [KEY=VALUE ...]\n", argv[0]);
    return 2;
  }
  const collie::Status status = train(argv[1], {argv + 2, argv + argc});
  if (!status) {
    fmt::print(stderr, "error: {}\n", status.error().message);
    return 2;
  }
  return 0;
}
