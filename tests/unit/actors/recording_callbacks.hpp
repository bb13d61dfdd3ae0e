// What tests of callbacks are made of.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/trainer.hpp"

namespace collie::testing {

// Writes down what it is told.
class Recorder final : public Callback {
 public:
  std::string_view name() const override { return "recorder"; }
  void on_setup(const RunInfo&, RunControl&) override { add("setup"); }
  void on_load_model(const LoadEvent&) override { add("load"); }
  Status on_load_checkpoint(const Json& state) override {
    add("state " + dump_json(state, 0));
    steps = state.is_number() ? state.get<int>() : 0;
    return ok_status();
  }
  void on_initialized(const RunInfo&) override { add("initialized"); }
  void on_start(const RunInfo&) override { add("start"); }
  void on_epoch_begin(const EpochEvent& event) override { add("epoch", event.epoch); }
  void on_step_begin(const StepBegin& event) override { add("begin", event.step); }
  void on_step(const StepEvent& event) override {
    add("step", event.step);
    ++steps;
  }
  void on_epoch_end(const EpochEvent& event) override { add("epoch end", event.epoch); }
  void on_evaluation_begin(const EvaluationBegin& event) override { add("evaluate " + event.name); }
  void on_evaluation(const EvaluationEvent& event) override { add("result " + event.name); }
  Json on_save_checkpoint() override { return steps; }
  void on_trained() override { add("trained"); }
  void on_save(const SaveEvent& event) override { add(event.is_model ? "model" : "checkpoint"); }
  void on_note(std::string_view line) override { notes.emplace_back(line); }
  void on_end(const TrainingReport&) override { add("end"); }

  void add(const std::string& what) { told.push_back(what); }
  void add(std::string_view what, std::int64_t number) {
    told.push_back(fmt::format("{} {}", what, number));
  }
  std::vector<std::string> told, notes;
  int steps = 0;
};

// Gives a value for each step it is asked after, from a list.
class Scripted final : public Evaluator {
 public:
  explicit Scripted(std::map<std::int64_t, double> values) : values_(std::move(values)) {}
  std::string name() const override { return "scripted"; }
  std::vector<std::string> value_names() const override { return {"score"}; }
  Result<std::optional<EvaluationEvent>> evaluate(EvaluationHost&) override {
    EvaluationEvent event;
    event.name = name();
    event.values = {{"scripted#score", values_.at(step)}};
    return std::optional(event);
  }
  std::int64_t step = 0;

 private:
  std::map<std::int64_t, double> values_;
};

// Tells the scripted evaluator the step, and stops where it is asked to.
class Teller final : public Callback {
 public:
  Teller(std::shared_ptr<Scripted> evaluator, std::int64_t stop_after)
      : evaluator_(std::move(evaluator)), stop_after_(stop_after) {}
  void on_setup(const RunInfo&, RunControl& control) override { control_ = &control; }
  void on_step(const StepEvent& event) override {
    if (event.step == stop_after_) control_->stop();
  }
  void on_evaluation_begin(const EvaluationBegin& event) override { evaluator_->step = event.step; }

 private:
  std::shared_ptr<Scripted> evaluator_;
  std::int64_t stop_after_;
  RunControl* control_ = nullptr;
};

}  // namespace collie::testing
