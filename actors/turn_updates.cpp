#include "actors/turn_updates.hpp"

#include <cmath>
#include <utility>

#include "kernels/elementwise.hpp"
#include "models/gradient_turns.hpp"

namespace collie {

TurnUpdates::TurnUpdates(TurnUpdateOptions options, StageModel& model, Optimizer& optimizer,
                         Stream& stream)
    : options_(std::move(options)), model_(model), optimizer_(optimizer), stream_(stream) {
  begin_round();
}

void TurnUpdates::begin_round() {
  micro_batches_.clear();
  squares_.assign(static_cast<std::size_t>(model_.parameters().count()), 0.0);
}

Steps TurnUpdates::last_backward(const Work& work, MicroBatchState* last) {
  const bool is_only_pass = options_.kind == UpdateInBackward::one_pass;
  updates_ = is_only_pass;
  step_ = {work.apply.optimizer_step, work.apply.learning_rate,
           work.clip_norm > 0.0 ? scale_before_ : 1.0, options_.seed};
  std::vector<MicroBatchState*> before = micro_batches_;
  if (last != nullptr) put_off(*last);
  return model_.backward_in_turn(std::move(before), last,
                                 is_only_pass ? WeightPass::only : WeightPass::first, *this);
}

Steps TurnUpdates::optimize(const Apply& apply) {
  scale_before_ = apply.gradient_scale;
  if (options_.kind == UpdateInBackward::two_pass) {
    step_ = {apply.optimizer_step, apply.learning_rate, apply.gradient_scale, options_.seed};
    updates_ = true;
    Steps again = model_.backward_in_turn(micro_batches_, nullptr, WeightPass::again, *this);
    while (again.advance()) co_yield again.reduction();
  }
  Steps rest = step_standing(stream_, step_, optimizer_, model_.parameters());
  while (rest.advance()) co_yield rest.reduction();
}

Steps TurnUpdates::end_turn(int turn) {
  Parameters& parameters = model_.parameters();
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.specs()[static_cast<std::size_t>(index)].turn != turn) continue;
    Steps sums = sum_over_groups(index);
    while (sums.advance()) co_yield sums.reduction();
  }
  measure(turn);
  if (!updates_ || error_) co_return;
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.specs()[static_cast<std::size_t>(index)].turn != turn) continue;
    Steps update = optimizer_.step_one(stream_, step_, parameters, index);
    while (update.advance()) co_yield update.reduction();
  }
}

// Copies are sent, for the room is another turn's before all have read them.
Steps TurnUpdates::sum_over_groups(int index) {
  const ParameterSpec& spec = model_.parameters().specs()[static_cast<std::size_t>(index)];
  Tensor gradient = model_.parameters().gradient(index);
  if (spec.gradient_group_end > spec.gradient_group_begin + 1) {
    Tensor copy = stream_.allocate(gradient.dtype(), gradient.shape());
    kernels::cast(stream_, gradient, copy);
    std::vector<Tensor> parts;
    co_yield gather_over_shards(copy, parts);
    kernels::sum_in_order(
        stream_,
        std::span(parts).subspan(
            static_cast<std::size_t>(spec.gradient_group_begin),
            static_cast<std::size_t>(spec.gradient_group_end - spec.gradient_group_begin)),
        gradient);
  }
  if (options_.grid.dp == 1) co_return;
  Tensor sum = stream_.allocate(gradient.dtype(), gradient.shape());
  kernels::cast(stream_, gradient, sum);
  co_yield sum_over_replicas(sum);
  kernels::cast(stream_, sum, gradient);
}

void TurnUpdates::measure(int turn) {
  const Parameters& parameters = model_.parameters();
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (spec.turn != turn || !spec.owned) continue;
    const double squares = kernels::sum_of_squares(stream_, parameters.gradient(index));
    squares_[static_cast<std::size_t>(index)] = squares;
    if (!updates_ || std::isfinite(squares) || error_) continue;
    error_ = make_error(
        ErrorCode::lost,
        "update {}: the gradient of {} ({}) is not finite; the layers behind it have been updated "
        "already: lower train.lr and resume from the last checkpoint",
        step_.step, spec.name, to_string(options_.self));
  }
}

namespace {

// Why a run cannot update within its backward, and what to do; empty where it can.
std::string obstacle(const RunConfig& config, const ModelSetup& model) {
  const std::string& name = config.train.optimizer.name;
  if (!model.schedule.contract.synchronous) {
    return fmt::format("schedule {} updates by itself; choose a synchronous one",
                       model.schedule.name);
  }
  if (config.train.post_validation)
    return "it cannot be taken back: set train.post_validation to false";
  const bool order_varies = model.schedule.placement.directions() > 1 ||
                            (model.schedule.policy.decides() && model.grid.dp > 1);
  if (order_varies)
    return "replicas must end their backwards in one order: choose another schedule";
  if (config.train.zero > 0 && model.grid.dp > 1) {
    return "it holds nothing that replicas could share: set train.zero to 0";
  }
  if (config.train.zero > 0)
    return "replicas share no gradients that are never held: set train.zero to 0";
  if (model.tuning) return "a tuned model has small gradients: leave the key out";
  if (name == "muon" || name == "sophia") {
    return fmt::format("{} needs all gradients: choose lomo, adalomo or another optimizer", name);
  }
  return {};
}

}  // namespace

// Of a tuned model's weights the frozen ones have none anyway; what is trained is small.
bool keeps_master_weights(const RunConfig& config, const ModelSetup& model) {
  return config.model.master_weights || model.tuning != nullptr;
}

Status check_master_weights(const RunConfig& config, const ModelSetup& model) {
  if (config.model.master_weights) return ok_status();
  const auto refuse = [](std::string_view reason) {
    return make_error(ErrorCode::unsupported, "model.master_weights: {}; set it to true", reason);
  };
  if (config.model.dtype != DType::bf16) return refuse("false needs model.dtype bfloat16");
  if (model.tuning) return ok_status();
  if (!model.schedule.contract.synchronous) {
    return refuse("asynchronous schedules correct their float32 weights");
  }
  if (config.train.zero > 0) return refuse("train.zero shares float32 weights");
  if (config.train.optimizer.name == "muon") return refuse("muon updates float32 weights");
  return ok_status();
}

Result<UpdateInBackward> choose_update_in_backward(const RunConfig& config,
                                                   const ModelSetup& model) {
  COLLIE_TRY_VOID(check_master_weights(config, model));
  const OptimizerSection& optimizer = config.train.optimizer;
  const bool is_lomo = optimizer.name == "lomo" || optimizer.name == "adalomo";
  if (!optimizer.in_backward.value_or(is_lomo)) return UpdateInBackward::no;
  if (const std::string reason = obstacle(config, model); !reason.empty()) {
    if (!optimizer.in_backward) return UpdateInBackward::no;
    return make_error(ErrorCode::unsupported, "train.optimizer.in_backward: {}", reason);
  }
  const bool measures_first = config.train.clip_norm > 0.0 && optimizer.clip == ClipNorm::two_pass;
  return measures_first ? UpdateInBackward::two_pass : UpdateInBackward::one_pass;
}

}  // namespace collie
