#include "actors/shard_executor.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "actors/gradient_exchange.hpp"
#include "actors/stage_measures.hpp"
#include "actors/weight_versions.hpp"
#include "kernels/elementwise.hpp"

namespace collie {

struct ModelExecutor::Impl {
  ModelExecutorOptions options;
  std::shared_ptr<Stream> stream;
  std::unique_ptr<StageModel> model;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<DelayCorrection> correction;
  std::map<std::uint32_t, MicroBatchState> states;  // by micro-batch, reused from step to step
  std::vector<double> losses;                       // of this round, by micro-batch
  Steps steps;                                      // of the work under way
  WorkKind steps_kind = WorkKind::forward;
  bool gradients_finished = false;
  bool tied_embeddings = false;
  WeightVersions versions;

  Completion run_timed(const Work& work);
  Completion run(const Work& work);
  void read_weights(const Work& work);
  void start(const Work& work, Completion& completion);
  void advance(const Work& work, Completion& completion);
  void finish(const Work& work, Completion& completion);
  void perform_reduction(const Work& work);
  void report(const Work& work, Completion& completion);
  void optimize(const Work& work, Completion& completion);
  void update(const Work& work, Completion& completion);
  void finish_gradients_once();
};

namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool is_last(const ModelExecutorOptions& options) {
  return options.self.stage == options.grid.pp - 1;
}

DelayPoint delay_point(const Work& work) {
  return {.updates_done = work.apply.optimizer_step,
          .micro_batch = static_cast<int>(work.stamp.micro_batch),
          .learning_rate = work.apply.learning_rate};
}

}  // namespace

ModelExecutor::ModelExecutor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

// What is still on the stream uses all the rest.
ModelExecutor::~ModelExecutor() {
  impl_->stream->synchronize();
}

Result<std::unique_ptr<ModelExecutor>> ModelExecutor::create(const ModelTraits& traits,
                                                             ModelExecutorOptions options) {
  auto impl = std::make_unique<Impl>();
  options.stage.with_gradients = options.trains;
  impl->stream = options.shared_stream ? std::move(options.shared_stream)
                                       : std::make_shared<Stream>(options.stream);
  COLLIE_TRY(impl->model, StageModel::create(traits, options.slice, options.stage, *impl->stream));
  if (options.trains) {
    COLLIE_TRY(impl->optimizer, make_optimizer(options.optimizer, impl->model->parameters(),
                                               impl->stream->allocator()));
    COLLIE_TRY(impl->correction,
               make_delay_correction(options.delay, options.optimizer, *impl->optimizer,
                                     impl->model->parameters(), impl->stream->allocator()));
    impl->versions.correct_with(impl->correction.get());
  }
  impl->tied_embeddings = traits.tied_embeddings;
  impl->options = std::move(options);
  return std::unique_ptr<ModelExecutor>(new ModelExecutor(std::move(impl)));
}

Stream& ModelExecutor::stream() {
  return *impl_->stream;
}
Parameters& ModelExecutor::parameters() {
  return impl_->model->parameters();
}
Optimizer* ModelExecutor::optimizer() {
  return impl_->optimizer.get();
}

std::vector<OptimizerState> ModelExecutor::training_state() {
  if (!impl_->optimizer) return {};
  std::vector<OptimizerState> states = impl_->optimizer->state();
  if (impl_->correction) std::ranges::copy(impl_->correction->state(), std::back_inserter(states));
  return states;
}

std::uint64_t ModelExecutor::parameter_hash() {
  std::uint64_t hash = 0;
  impl_->stream->submit([&] { hash = hash_of(impl_->model->parameters()); });
  impl_->stream->synchronize();
  return hash;
}

std::vector<Exchange> ModelExecutor::exchanges() const {
  return gradient_exchanges(impl_->options.grid, impl_->options.self,
                            impl_->model->parameters().specs(), impl_->tied_embeddings);
}

void ModelExecutor::execute(Work work, std::function<void(Completion)> done) {
  // The completion is made by the work and handed over when the stream says it is done.
  auto shared = std::make_shared<std::pair<Work, Completion>>(std::move(work), Completion{});
  impl_->stream->submit([this, shared] { shared->second = impl_->run_timed(shared->first); },
                        [this, shared, done = std::move(done)] {
                          Status status = impl_->stream->status();
                          if (!status) shared->second.error = std::move(status).error();
                          shared->first = Work{};
                          done(std::move(shared->second));
                        });
}

Completion ModelExecutor::Impl::run_timed(const Work& work) {
  const double begin_s = now_s();
  Completion completion = run(work);
  completion.begin_s = begin_s;
  completion.end_s = now_s();
  return completion;
}

Completion ModelExecutor::Impl::run(const Work& work) {
  Completion completion;
  completion.kind = work.kind;
  completion.shard = work.shard;
  completion.stamp = work.stamp;
  switch (work.kind) {
    case WorkKind::begin_round:
      if (work.mode == Mode::train) model->begin_step();
      gradients_finished = false;
      losses.clear();
      versions.begin_round();
      break;
    case WorkKind::forward:
    case WorkKind::backward:
    case WorkKind::backward_input:
      read_weights(work);
      start(work, completion);
      break;
    case WorkKind::resume:
      perform_reduction(work);
      advance(work, completion);
      break;
    case WorkKind::backward_weight: {
      MicroBatchState& state = states.at(work.stamp.micro_batch);
      model->backward_weight(state);
      versions.finished(work.version);
      break;
    }
    case WorkKind::prepare:
      finish_gradients_once();
      completion.tensor = prepare_exchange(*stream, *model, work.purpose);
      break;
    case WorkKind::combine:
      combine_exchange(*stream, *model, options.self, work.purpose, work.parts);
      break;
    case WorkKind::report:
      report(work, completion);
      break;
    case WorkKind::update:
      update(work, completion);
      break;
    case WorkKind::optimize:
      optimize(work, completion);
      break;
  }
  return completion;
}

void ModelExecutor::Impl::read_weights(const Work& work) {
  if (work.mode != Mode::train) return versions.read(work.version, model->parameters());
  versions.read_corrected(work.version, work.kind == WorkKind::forward, delay_point(work), *stream,
                          model->parameters());
}

void ModelExecutor::Impl::start(const Work& work, Completion& completion) {
  MicroBatchState& state = states[work.stamp.micro_batch];
  steps_kind = work.kind;
  if (work.kind == WorkKind::forward) {
    state.batch = work.batch;
    state.mode = work.mode;
    state.input_td = work.tensor;
    state.loss_sum = 0.0;
    steps = model->forward(state);
  } else {
    state.output_gradient = work.tensor;
    steps = work.kind == WorkKind::backward ? model->backward(state) : model->backward_input(state);
  }
  advance(work, completion);
}

// Straight on while nothing is declared; a reduction over one shard is nothing.
void ModelExecutor::Impl::advance(const Work& work, Completion& completion) {
  completion.kind = steps_kind;
  while (steps.advance()) {
    const Reduction& reduction = steps.reduction();
    if (options.grid.tp == 1) {
      if (reduction.op == ReduceOp::gather) *reduction.parts = {*reduction.tensor};
      continue;
    }
    completion.paused = true;
    completion.tensor = *reduction.tensor;
    completion.tensor.freeze();
    return;
  }
  finish(work, completion);
}

void ModelExecutor::Impl::finish(const Work& work, Completion& completion) {
  MicroBatchState& state = states.at(work.stamp.micro_batch);
  steps = Steps();
  versions.finished(work.version);
  Tensor& output = steps_kind == WorkKind::forward ? state.output_td : state.input_gradient;
  if (output) {
    output.freeze();
    completion.tensor = std::exchange(output, Tensor());
  }
  if (steps_kind == WorkKind::forward && is_last(options)) {
    losses.resize(std::max<std::size_t>(losses.size(), work.stamp.micro_batch + 1), 0.0);
    losses[work.stamp.micro_batch] = state.loss_sum;
  }
}

void ModelExecutor::Impl::perform_reduction(const Work& work) {
  const Reduction& reduction = steps.reduction();
  if (reduction.op == ReduceOp::gather) {
    *reduction.parts = work.parts;
    return;
  }
  // The parts are frozen, so the sum needs a buffer of its own.
  Tensor sum = stream->allocate(reduction.tensor->dtype(), reduction.tensor->shape());
  kernels::sum_in_order(*stream, work.parts, sum);
  *reduction.tensor = std::move(sum);
}

void ModelExecutor::Impl::report(const Work& work, Completion& completion) {
  if (options.self.tensor == 0) completion.report.losses = losses;
  if (work.mode != Mode::train || options.self.replica != 0) return;
  finish_gradients_once();
  measure_gradients(*stream, model->parameters(), completion.report);
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
    optimizer->step(*stream, step, model->parameters());
  }
  model->begin_step();
}

void ModelExecutor::Impl::finish_gradients_once() {
  if (!gradients_finished) model->finish_gradients();
  gradients_finished = true;
}

void ModelExecutor::Impl::optimize(const Work& work, Completion& completion) {
  if (work.updates) {
    optimizer->step(
        *stream, {work.apply.optimizer_step, work.apply.learning_rate, work.apply.gradient_scale},
        model->parameters());
  }
  if (work.apply.want_hash) completion.done.parameter_hash = hash_of(model->parameters());
  if (options.reports_memory) completion.done.peak_bytes = stream->allocator().use().peak_bytes;
}

}  // namespace collie
