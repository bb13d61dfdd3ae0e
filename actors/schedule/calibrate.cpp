#include "actors/schedule/calibrate.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "actors/schedule/action_index.hpp"

namespace collie {

namespace {

double median(std::vector<double> values) {
  if (values.empty()) return 0.0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

constexpr std::array measured_verbs = {Verb::forward,  Verb::backward_input, Verb::backward_weight,
                                       Verb::backward, Verb::step,           Verb::recompute};

// The end of the input of an action that comes from another rank, in the same step; negative: none.
double input_end(const Schedule& schedule, const ActionIndex& index, const Trace& trace,
                 const TracedAction& done) {
  const Action& action = done.action;
  const bool is_forward = action.verb == Verb::forward;
  const int from = is_forward ? action.stage - 1 : action.stage + 1;
  if ((!is_forward && !makes_input_gradient(action.verb)) || from < 0 ||
      from >= schedule.stages()) {
    return -1.0;
  }
  const UnitPlaces& unit = index.unit(from, action.micro_batch, action.slice, action.direction);
  const ActionPlace place = is_forward ? unit.forward : unit.input;
  if (place.rank == schedule.placement.rank_of(action.stage, action.direction)) return -1.0;
  return trace[static_cast<std::size_t>(place.rank)][static_cast<std::size_t>(place.position)]
      .end_s;
}

class Calibrator {
 public:
  Calibrator(const Schedule& schedule, const std::vector<Trace>& steps)
      : schedule_(schedule),
        steps_(steps),
        index_(schedule),
        times_(static_cast<std::size_t>(schedule.stages())) {}

  Result<Calibration> run() {
    for (const Trace& step : steps_) measure(step);
    fill_costs();
    result_.measured_s = median(spans_);
    result_.barrier_s = median(barriers_);
    COLLIE_TRY(const Simulation simulation,
               simulate(schedule_, result_.costs, {.with_memory = false}));
    result_.predicted_s = simulation.makespan + result_.barrier_s;
    compare(simulation);
    return std::move(result_);
  }

 private:
  using VerbTimes = std::array<std::vector<double>, measured_verbs.size()>;

  bool waits_for_all(const Action& action) const {
    return schedule_.contract.synchronous && action.verb == Verb::step;
  }

  void measure(const Trace& trace) {
    double begin = INFINITY, last_action = 0.0, end = 0.0;
    for (const std::vector<TracedAction>& rank : trace) {
      for (std::size_t at = 0; at < rank.size(); ++at) {
        const TracedAction& done = rank[at];
        begin = std::min(begin, done.begin_s);
        end = std::max(end, done.end_s);
        if (waits_for_all(done.action)) continue;
        last_action = std::max(last_action, done.end_s);
        measure_action(trace, rank, at);
      }
    }
    spans_.push_back(end - begin);
    barriers_.push_back(schedule_.contract.synchronous ? end - last_action : 0.0);
  }

  void measure_action(const Trace& trace, const std::vector<TracedAction>& rank, std::size_t at) {
    const TracedAction& done = rank[at];
    const auto verb = std::ranges::find(measured_verbs, done.action.verb);
    if (verb == measured_verbs.end()) return;  // PREDICT, FENCE: the simulator's cost nothing
    times_[static_cast<std::size_t>(done.action.stage)]
          [static_cast<std::size_t>(verb - measured_verbs.begin())]
              .push_back(done.end_s - done.begin_s);
    if (at == 0) return;
    const double free = rank[at - 1].end_s;
    const double input = input_end(schedule_, index_, trace, done);
    if (input < free) {
      overheads_.push_back(done.begin_s - free);
    } else {
      latencies_.push_back(done.begin_s - input);
    }
  }

  // What lies between two actions of a busy rank is part of what an action costs it; the rest of
  // what lies between an output's end and its reader's begin is the message's.
  void fill_costs() {
    result_.overhead_s = median(overheads_);
    result_.costs.latency = std::max(0.0, median(latencies_));
    for (VerbTimes& of_stage : times_) {
      const auto cost = [&](std::size_t verb) {
        return of_stage[verb].empty() ? 0.0 : median(of_stage[verb]) + result_.overhead_s;
      };
      StageCosts costs;
      costs.forward = cost(0);
      costs.input = cost(1);
      costs.weight = cost(2);
      costs.step = cost(4);
      costs.recompute = cost(5);
      if (of_stage[1].empty() && of_stage[2].empty()) costs.input = costs.weight = cost(3) / 2.0;
      result_.costs.stages.push_back(costs);
    }
  }

  void compare(const Simulation& simulation) {
    std::vector<std::array<std::vector<double>, measured_verbs.size()>> late(times_.size());
    for (const Trace& trace : steps_) {
      double begin = INFINITY;
      for (const auto& rank : trace) begin = std::min(begin, rank.front().begin_s);
      for (std::size_t rank = 0; rank < trace.size(); ++rank) {
        for (std::size_t at = 0; at < trace[rank].size(); ++at) {
          const TracedAction& done = trace[rank][at];
          if (waits_for_all(done.action)) continue;
          const auto verb = std::ranges::find(measured_verbs, done.action.verb);
          if (verb == measured_verbs.end()) continue;
          late[static_cast<std::size_t>(done.action.stage)]
              [static_cast<std::size_t>(verb - measured_verbs.begin())]
                  .push_back(done.begin_s - begin - simulation.actions[rank][at].begin);
        }
      }
    }
    for (std::size_t stage = 0; stage < late.size(); ++stage) {
      for (std::size_t verb = 0; verb < measured_verbs.size(); ++verb) {
        if (!late[stage][verb].empty()) add_residual(stage, verb, late[stage][verb]);
      }
    }
  }

  void add_residual(std::size_t stage, std::size_t verb, const std::vector<double>& late) {
    Residual residual;
    residual.what = fmt::format("stage {} {}", stage, letter(measured_verbs[verb]));
    residual.measured_s = median(times_[stage][verb]);
    residual.begins_late_s = median(late);
    for (const double value : late) {
      if (std::abs(value) > std::abs(residual.worst_late_s)) residual.worst_late_s = value;
    }
    result_.residuals.push_back(std::move(residual));
  }

  const Schedule& schedule_;
  const std::vector<Trace>& steps_;
  ActionIndex index_;
  std::vector<VerbTimes> times_;  // by stage
  std::vector<double> overheads_, latencies_, spans_, barriers_;
  Calibration result_;
};

}  // namespace

Result<Calibration> calibrate(const Schedule& schedule, const std::vector<Trace>& steps) {
  if (steps.empty()) {
    return make_error(ErrorCode::invalid_data,
                      "no traced step to take costs from: train with output.trace_steps=5");
  }
  for (const Trace& step : steps) COLLIE_TRY_VOID(check_conformance(schedule, step));
  return Calibrator(schedule, steps).run();
}

}  // namespace collie
