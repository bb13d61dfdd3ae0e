#include <algorithm>
#include <cmath>

#include "actors/callbacks/ready.hpp"
#include "runtime/checkpoint_files.hpp"
#include "runtime/file.hpp"

namespace collie {

namespace {

struct Kept {
  std::int64_t step = 0;
  double value = 0.0;
};

class BestCheckpoint final : public Callback {
 public:
  BestCheckpoint(MetricGoal goal, std::int64_t keep, bool load, std::string directory)
      : goal_(std::move(goal)),
        keep_(static_cast<std::size_t>(keep)),
        load_(load),
        directory_(std::move(directory)) {}

  std::string_view name() const override { return "best_checkpoint"; }
  void on_setup(const RunInfo&, RunControl& control) override { control_ = &control; }

  // What the state does not know is of another run, or of steps that will be done again.
  void on_start(const RunInfo&) override {
    std::erase_if(kept_, [&](const Kept& one) { return !is_directory(path_of(one.step)); });
    const auto found = list_checkpoints(directory_);
    if (!found) return;
    for (const std::int64_t step : *found) {
      if (std::ranges::find(kept_, step, &Kept::step) == kept_.end()) remove(step);
    }
  }

  void on_evaluation(const EvaluationEvent& evaluation) override {
    const MetricValue* value = evaluation.find(goal_.name);
    if (value == nullptr) return;
    last_step_ = evaluation.step;
    std::erase_if(kept_, [&](const Kept& one) { return one.step == evaluation.step; });
    const Kept now{evaluation.step, value->value};
    // Of equals the older one is better.
    const auto place = std::ranges::find_if(
        kept_, [&](const Kept& one) { return goal_.is_better(now.value, one.value); });
    const auto rank = static_cast<std::size_t>(place - kept_.begin());
    if (rank >= keep_ || !std::isfinite(now.value)) return;
    kept_.insert(place, now);
    std::vector<Kept> dropped(
        kept_.begin() + static_cast<std::ptrdiff_t>(std::min(keep_, kept_.size())), kept_.end());
    kept_.resize(std::min(keep_, kept_.size()));
    const auto saved = control_->save_checkpoint(directory_);
    if (!saved) return control_->fail(saved.error());
    for (const Kept& one : dropped) remove(one.step);
  }

  void on_trained() override {
    if (!load_ || kept_.empty() || kept_.front().step == last_step_) return;
    const Kept& best = kept_.front();
    control_->note(fmt::format("the model is the one after step {}, whose {} of {:.6g} is best",
                               best.step, goal_.name, best.value));
    Status loaded = control_->load_checkpoint(path_of(best.step));
    if (!loaded) control_->fail(std::move(loaded).error());
  }

  Json on_save_checkpoint() override {
    Json list = Json::array();
    for (const Kept& one : kept_) list.push_back({{"step", one.step}, {"value", one.value}});
    return {{"metric", goal_.name}, {"kept", std::move(list)}};
  }

  // A state of another metric tells nothing of this one.
  Status on_load_checkpoint(const Json& state) override {
    if (!state.is_object() || state.value("metric", "") != goal_.name) return ok_status();
    COLLIE_TRY(const JsonReader reader, JsonReader::open(state, "checkpoint", "best_checkpoint"));
    COLLIE_TRY(const Json* list, reader.get_array("kept"));
    for (const Json& entry : *list) {
      COLLIE_TRY(const JsonReader one, JsonReader::open(entry, "checkpoint", "best_checkpoint"));
      Kept kept;
      COLLIE_TRY(kept.step, one.get_int("step", 0, std::int64_t{1} << 53));
      COLLIE_TRY(kept.value, one.get_number("value", -1e300, 1e300));
      kept_.push_back(kept);
    }
    return ok_status();
  }

 private:
  std::string path_of(std::int64_t step) const { return checkpoint_directory(directory_, step); }
  void remove(std::int64_t step) {
    Status removed = remove_tree(path_of(step));
    if (!removed) control_->fail(std::move(removed).error());
  }

  MetricGoal goal_;
  std::size_t keep_;
  bool load_;
  std::string directory_;
  RunControl* control_ = nullptr;
  std::vector<Kept> kept_;  // the best first
  std::int64_t last_step_ = -1;
};

}  // namespace

std::shared_ptr<Callback> make_best_checkpoint(MetricGoal goal, std::int64_t keep, bool load,
                                               std::string directory) {
  return std::make_shared<BestCheckpoint>(std::move(goal), keep, load, std::move(directory));
}

}  // namespace collie
