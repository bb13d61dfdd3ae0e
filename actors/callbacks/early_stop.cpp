#include <optional>

#include "actors/callbacks/ready.hpp"

namespace collie {

namespace {

class EarlyStop final : public Callback {
 public:
  EarlyStop(MetricGoal goal, std::int64_t patience, double min_delta)
      : goal_(std::move(goal)), patience_(patience), min_delta_(min_delta) {}

  std::string_view name() const override { return "early_stop"; }
  void on_setup(const RunInfo&, RunControl& control) override { control_ = &control; }

  void on_evaluation(const EvaluationEvent& evaluation) override {
    const MetricValue* value = evaluation.find(goal_.name);
    if (value == nullptr) return;
    const double margin = goal_.less_is_better ? -min_delta_ : min_delta_;
    if (!best_ || goal_.is_better(value->value, *best_ + margin)) {
      best_ = value->value;
      since_best_ = 0;
    } else {
      ++since_best_;
    }
    finish_when_due();
  }

  Json on_save_checkpoint() override {
    Json state = {{"metric", goal_.name}, {"since_best", since_best_}};
    if (best_) state["best"] = *best_;
    return state;
  }

  // A state of another metric tells nothing of this one.
  Status on_load_checkpoint(const Json& state) override {
    if (!state.is_object() || state.value("metric", "") != goal_.name) return ok_status();
    COLLIE_TRY(const JsonReader reader, JsonReader::open(state, "checkpoint", "early_stop"));
    COLLIE_TRY(since_best_, reader.get_int("since_best", 0, std::int64_t{1} << 53));
    if (reader.has("best")) {
      COLLIE_TRY(best_, reader.get_number("best", -1e300, 1e300));
    }
    finish_when_due();
    return ok_status();
  }

 private:
  void finish_when_due() {
    if (since_best_ < patience_ || !best_) return;
    control_->finish(
        fmt::format("{} was best at {:.6g} and has not become better in {} evaluations", goal_.name,
                    *best_, since_best_));
  }

  MetricGoal goal_;
  std::int64_t patience_;
  double min_delta_;
  RunControl* control_ = nullptr;
  std::optional<double> best_;
  std::int64_t since_best_ = 0;
};

}  // namespace

std::shared_ptr<Callback> make_early_stop(MetricGoal goal, std::int64_t patience,
                                          double min_delta) {
  return std::make_shared<EarlyStop>(std::move(goal), patience, min_delta);
}

}  // namespace collie
