// ModelExecutor: what ends a step, from the gradients' measures to the update.
#include <algorithm>
#include <cmath>

#include "actors/gradient_exchange.hpp"
#include "actors/shard_executor_impl.hpp"
#include "actors/stage_measures.hpp"
#include "models/value_shares.hpp"

namespace collie {

std::vector<Exchange> ModelExecutor::exchanges() const {
  return gradient_exchanges(impl_->options.grid, impl_->options.self, impl_->model->parameters(),
                            impl_->tied_embeddings);
}

void ModelExecutor::Impl::report(const Work& work, Completion& completion) {
  generation.clear();
  if (options.self.tensor == 0) {
    completion.report.losses = losses;
    for (const std::vector<double>& rows : row_losses) {
      std::ranges::copy(rows, std::back_inserter(completion.report.row_losses));
    }
  }
  const bool is_asked = options.self.replica == 0 || work.measures;
  if (work.mode != Mode::train || !(is_asked || model->parameters().sharding().shares_state())) {
    return;
  }
  finish_gradients_once();
  measure_gradients(*stream, model->parameters(), completion.report,
                    turns ? std::span(turns->squares()) : std::span<const double>());
}

// The stage alone decides: there is no barrier at which a norm of the whole grid could be made.
void ModelExecutor::Impl::update(const Work& work, Completion& completion) {
  RoundReport measured;
  measure_gradients(*stream, model->parameters(), measured);
  if (!measured.first_non_finite.empty()) {
    completion.error = make_error(
        ErrorCode::lost,
        "update {}: the gradient of {} ({}) is not finite; the stages before have been updated "
        "already: lower train.lr and resume from the last checkpoint",
        work.apply.optimizer_step, measured.first_non_finite, to_string(options.self));
    return;
  }
  double norm = 0.0;
  for (const double squares : measured.squares) norm += squares;
  norm = std::sqrt(norm);
  const bool clips = work.clip_norm > 0.0 && norm > work.clip_norm;
  const OptimizerStep step{work.apply.optimizer_step, work.apply.learning_rate,
                           clips ? work.clip_norm / (norm + 1e-6) : 1.0};
  versions.replace_latest(work.version, delay_point(work), *stream, model->parameters());
  if (correction) {
    correction->update(*stream, step, work.version.version, model->parameters());
  } else {
    Steps alone = optimizer->step(*stream, step, model->parameters());
    run_alone(alone);
  }
  model->begin_step();
}

void ModelExecutor::Impl::forget_gradients(const Work& work) {
  if (work.mode == Mode::train) model->begin_step();
  gradients_finished = false;
}

void ModelExecutor::Impl::finish_gradients_once() {
  if (!gradients_finished) model->finish_gradients();
  gradients_finished = true;
}

void ModelExecutor::Impl::optimize(const Work& work, Completion& completion) {
  applied = work.apply;
  if (applied.curvature_tokens) return renew_curvature(completion);
  if (!work.updates) return measure_step(applied, completion);
  const OptimizerStep step{applied.optimizer_step, applied.learning_rate, applied.gradient_scale,
                           options.seed};
  steps = turns ? turns->optimize(applied)
                : update_and_share(*stream, step, *optimizer, model->parameters());
  steps_kind = work.kind;
  advance(work, completion);
}

// The gradients, which are of the mean loss over these labels, are not clipped.
void ModelExecutor::Impl::renew_curvature(Completion& completion) {
  const auto tokens = static_cast<double>(*applied.curvature_tokens);
  if (tokens > 0.0) optimizer->update_hessian(*stream, tokens, model->parameters());
  measure_step(applied, completion);
}

void ModelExecutor::Impl::measure_step(const Apply& apply, Completion& completion) {
  if (apply.want_hash) completion.done.parameter_hash = hash_of(model->parameters());
  completion.done.is_share = model->parameters().sharding().shares_values();
  if (options.reports_memory) completion.done.peak_bytes = stream->allocator().use().peak_bytes;
}

}  // namespace collie
