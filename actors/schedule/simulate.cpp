#include "actors/schedule/simulate.hpp"

#include <algorithm>
#include <array>

#include "actors/schedule/memory_timeline.hpp"
#include "actors/schedule/simulate_engine.hpp"
#include "runtime/limits.hpp"

namespace collie {

namespace {

bool is_work(Verb verb) {
  switch (verb) {
    case Verb::forward:
    case Verb::backward_input:
    case Verb::backward_weight:
    case Verb::backward:
    case Verb::recompute:
    case Verb::step:
    case Verb::all_reduce:
      return true;
    default:
      return false;
  }
}

void measure_times(const Schedule& schedule, Simulation& simulation) {
  std::vector<double> step_ends(static_cast<std::size_t>(simulation.steps), 0.0);
  simulation.span.assign(schedule.programs.size(), 0.0);
  for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
    const std::vector<Action>& program = schedule.programs[rank];
    const std::vector<TimedAction>& timed = simulation.actions[rank];
    double first = -1.0;
    double last = 0.0;
    for (std::size_t at = 0; at < timed.size(); ++at) {
      double& step_end = step_ends[at / program.size()];
      step_end = std::max(step_end, timed[at].end);
      if (!is_work(program[at % program.size()].verb)) continue;
      first = first < 0.0 ? timed[at].begin : std::min(first, timed[at].begin);
      last = std::max(last, timed[at].end);
    }
    simulation.span[rank] = last - std::max(first, 0.0);
  }
  simulation.makespan = *std::ranges::max_element(step_ends);
  const std::size_t final = step_ends.size() - 1;
  const std::size_t middle = step_ends.size() / 2 - (step_ends.size() > 1 ? 1 : 0);
  if (final > middle) {
    simulation.steady_period =
        (step_ends[final] - step_ends[middle]) / static_cast<double>(final - middle);
  }
}

}  // namespace

std::string_view name_of(IdleCause cause) {
  static constexpr std::array<std::string_view, 7> names = {
      "none", "dependency", "communication", "credit", "step", "fill", "drain"};
  return names.at(static_cast<std::size_t>(cause));
}

std::string_view name_of(MemoryClass memory_class) {
  static constexpr std::array<std::string_view, memory_class_count> names = {
      "activations", "weight stash", "weights", "gradients", "optimizer", "buffers"};
  return names.at(static_cast<std::size_t>(memory_class));
}

double Simulation::idle_of(IdleCause cause) const {
  if (cause == IdleCause::none) return 0.0;
  double total = 0.0;
  for (const std::vector<TimedAction>& program : actions) {
    double end = 0.0;
    for (const TimedAction& action : program) {
      if (action.idle == cause) total += action.begin - end;
      end = action.end;
    }
    if (cause == IdleCause::drain) total += makespan - end;
  }
  return total;
}

Result<Simulation> simulate(const Schedule& schedule, const CostModel& costs,
                            const SimulateOptions& options) {
  const auto longest =
      limits::schedule_actions_max / std::max<std::size_t>(schedule.action_count(), 1);
  if (options.steps < 1 ||
      static_cast<std::size_t>(options.steps) > std::max(longest, std::size_t{1})) {
    return make_error(ErrorCode::invalid_config,
                      "cannot simulate {} steps of {} actions: at least 1 step, and at most {} "
                      "actions in all",
                      options.steps, schedule.action_count(), limits::schedule_actions_max);
  }
  COLLIE_TRY(const Pricer pricer, Pricer::make(schedule, costs));
  COLLIE_TRY(const Wiring wiring, Wiring::make(schedule));
  SimulationEngine engine(wiring, pricer, options.steps);
  COLLIE_TRY_VOID(engine.run());
  Simulation simulation = engine.take_result();
  measure_times(schedule, simulation);
  measure_memory(wiring, pricer, engine.arrivals(), !engine.is_rendezvous(), options.with_memory,
                 simulation);
  put_in_order(simulation);
  return simulation;
}

}  // namespace collie
