#include "actors/schedule/cost_model.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace collie {

namespace {

std::uint64_t mixed(std::uint64_t value) {  // splitmix64 (Steele, Lea, Flood 2014)
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

double uniform_above_zero(std::uint64_t bits) {
  return (static_cast<double>(bits >> 11U) + 1.0) * 0x1.0p-53;
}

Status check_cost(double value, std::string_view name, std::string_view of) {
  if (std::isfinite(value) && value >= 0.0) return ok_status();
  return make_error(ErrorCode::invalid_config,
                    "costs: {} of {} is {}; it must be a finite number, 0 or more", name, of,
                    value);
}

Status check_stage(const StageCosts& costs, int stage) {
  const std::string of = fmt::format("stage {}", stage);
  COLLIE_TRY_VOID(check_cost(costs.forward, "forward", of));
  COLLIE_TRY_VOID(check_cost(costs.input, "input", of));
  COLLIE_TRY_VOID(check_cost(costs.weight, "weight", of));
  COLLIE_TRY_VOID(check_cost(costs.recompute, "recompute", of));
  COLLIE_TRY_VOID(check_cost(costs.weight_recompute, "weight_recompute", of));
  COLLIE_TRY_VOID(check_cost(costs.step, "step", of));
  COLLIE_TRY_VOID(check_cost(costs.copy, "copy", of));
  if (costs.overlapped < 0.0) return ok_status();
  return check_cost(costs.overlapped, "overlapped", of);
}

Status check_memory(const StageMemory& memory, int stage) {
  const std::string of = fmt::format("stage {}", stage);
  COLLIE_TRY_VOID(check_cost(memory.activation, "activation", of));
  COLLIE_TRY_VOID(check_cost(memory.weight_stash, "weight_stash", of));
  COLLIE_TRY_VOID(check_cost(memory.weights, "weights", of));
  COLLIE_TRY_VOID(check_cost(memory.gradients, "gradients", of));
  COLLIE_TRY_VOID(check_cost(memory.optimizer, "optimizer", of));
  return check_cost(memory.message, "message", of);
}

Status check_size(std::size_t size, int stages, std::string_view name) {
  if (size == 1 || size == static_cast<std::size_t>(stages)) return ok_status();
  return make_error(ErrorCode::invalid_config, "costs: {} {} are given for {} stages; give 1 or {}",
                    size, name, stages, stages);
}

}  // namespace

Result<Pricer> Pricer::make(const Schedule& schedule, const CostModel& costs) {
  CostModel checked = costs;
  if (checked.memory.empty()) checked.memory.emplace_back();
  COLLIE_TRY_VOID(check_size(checked.stages.size(), schedule.stages(), "times"));
  COLLIE_TRY_VOID(check_size(checked.memory.size(), schedule.stages(), "bytes"));
  for (std::size_t stage = 0; stage < checked.stages.size(); ++stage) {
    COLLIE_TRY_VOID(check_stage(checked.stages[stage], static_cast<int>(stage)));
  }
  for (std::size_t stage = 0; stage < checked.memory.size(); ++stage) {
    COLLIE_TRY_VOID(check_memory(checked.memory[stage], static_cast<int>(stage)));
  }
  COLLIE_TRY_VOID(check_cost(costs.latency, "latency", "messages"));
  COLLIE_TRY_VOID(check_cost(costs.bandwidth, "bandwidth", "messages"));
  COLLIE_TRY_VOID(check_cost(costs.jitter, "jitter", "actions"));
  return Pricer(std::move(checked), 1.0 / schedule.slices);
}

Pricer Pricer::without_jitter() const {
  Pricer steady = *this;
  steady.costs_.jitter = 0.0;
  return steady;
}

double Pricer::mean_seconds(const Action& action, bool has_recompute) const {
  const StageCosts& costs = costs_.stage(action.stage);
  const double recompute = has_recompute ? 0.0 : costs.recompute;
  switch (action.verb) {
    case Verb::forward:
      return costs.forward * slice_share_;
    case Verb::backward_input:
      return (costs.input + recompute) * slice_share_;
    case Verb::backward_weight:
      return (costs.weight + costs.weight_recompute) * slice_share_;
    case Verb::backward:
      return (costs.input + costs.weight + recompute) * slice_share_;
    case Verb::recompute:
      return costs.recompute * slice_share_;
    case Verb::step:
      return costs.step;
    default:
      return 0.0;
  }
}

double Pricer::jitter_factor(const Action& action, int step) const {
  if (costs_.jitter == 0.0) return 1.0;
  // Of the seed and the action alone, so that two schedules see the same slow actions.
  std::uint64_t state = mixed(costs_.seed);
  const auto add = [&state](std::int64_t part) {
    state = mixed(state ^ static_cast<std::uint64_t>(part));
  };
  add(static_cast<int>(action.verb));
  add(action.stage);
  add(action.micro_batch);
  add(action.slice * 2 + action.direction);
  add(step);
  const double radius = std::sqrt(-2.0 * std::log(uniform_above_zero(state)));
  const double angle = 2.0 * std::numbers::pi * uniform_above_zero(mixed(state));
  const double variance = std::log1p(costs_.jitter * costs_.jitter);
  return std::exp(std::sqrt(variance) * radius * std::cos(angle) - 0.5 * variance);
}

double Pricer::seconds(const Action& action, int step, bool has_recompute) const {
  return mean_seconds(action, has_recompute) * jitter_factor(action, step);
}

double Pricer::seconds_of_pair(const Action& first, const Action& second, int step,
                               double separate) const {
  const Action& forward = first.verb == Verb::forward ? first : second;
  const double together = costs_.stage(forward.stage).overlapped;
  if (together < 0.0) return separate;
  return together * slice_share_ * 0.5 * (jitter_factor(first, step) + jitter_factor(second, step));
}

double Pricer::transfer_seconds(double bytes) const {
  return costs_.latency + (costs_.bandwidth > 0.0 ? bytes / costs_.bandwidth : 0.0);
}

double Pricer::message_seconds(int stage) const {
  return transfer_seconds(memory_of(stage).message * slice_share_);
}

double Pricer::reduction_seconds(int stage) const {
  return transfer_seconds(memory_of(stage).gradients);
}

bool Pricer::has_copies() const {
  return std::ranges::any_of(costs_.stages, [](const StageCosts& stage) { return stage.copy > 0; });
}

}  // namespace collie
