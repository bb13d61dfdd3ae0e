#include "actors/shard_executor.hpp"

#include <algorithm>
#include <chrono>

#include "actors/gradient_exchange.hpp"
#include "actors/shard_executor_impl.hpp"
#include "actors/stage_measures.hpp"
#include "kernels/elementwise.hpp"
#include "models/sequence_slice.hpp"

namespace collie {

namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

ModelExecutor::ModelExecutor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

// What is still on the stream uses all the rest.
ModelExecutor::~ModelExecutor() {
  if (impl_->copies) impl_->copies->synchronize();
  impl_->stream->synchronize();
}

Result<std::unique_ptr<ModelExecutor>> ModelExecutor::create(const ModelTraits& traits,
                                                             ModelExecutorOptions options) {
  auto impl = std::make_unique<Impl>();
  options.stage.with_gradients = options.trains;
  if (options.trains) {
    options.stage.sharding = {options.self.replica, options.grid.dp, options.zero};
  }
  impl->stream = options.shared_stream ? std::move(options.shared_stream)
                                       : std::make_shared<Stream>(options.stream);
  COLLIE_TRY(impl->model, StageModel::create(traits, options.slice, options.stage, *impl->stream));
  if (options.trains) {
    Parameters& parameters = impl->model->parameters();
    COLLIE_TRY(impl->optimizer,
               make_optimizer(options.optimizer, parameters, impl->stream->allocator(),
                              {parameters.own_share()}));
    COLLIE_TRY(impl->correction,
               make_delay_correction(options.delay, options.optimizer, *impl->optimizer,
                                     impl->model->parameters(), impl->stream->allocator()));
    impl->versions.correct_with(impl->correction.get());
    COLLIE_TRY_VOID(impl->update_in_turn(options));
  }
  impl->tied_embeddings = traits.tied_embeddings;
  if (options.zero_copies && impl->model->parameters().sharding().shares_values()) {
    StreamOptions copies = options.stream;
    copies.name += "c";
    copies.threads = 1;
    impl->copies = std::make_unique<Stream>(std::move(copies));
  }
  impl->options = std::move(options);
  return std::unique_ptr<ModelExecutor>(new ModelExecutor(std::move(impl)));
}

Status ModelExecutor::Impl::update_in_turn(const ModelExecutorOptions& of) {
  if (of.stage.update_in_backward == UpdateInBackward::no) return ok_status();
  if (!optimizer->can_step_one()) {
    return make_error(
        ErrorCode::unsupported,
        "train.optimizer.in_backward: {} needs all gradients at once; set it to false",
        of.optimizer.name);
  }
  turns = std::make_unique<TurnUpdates>(
      TurnUpdateOptions{of.grid, of.self, of.stage.update_in_backward, of.seed}, *model, *optimizer,
      *stream);
  return ok_status();
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

void ModelExecutor::resume_clipping(double scale) {
  if (impl_->turns) impl_->turns->resume_scale(scale);
}

std::uint64_t ModelExecutor::parameter_hash() {
  std::uint64_t hash = 0;
  impl_->stream->submit([&] { hash = hash_of(impl_->model->parameters()); });
  impl_->stream->synchronize();
  return hash;
}

bool ModelExecutor::pauses_in_program() const {
  const Grid& grid = impl_->options.grid;
  const bool reduces = impl_->turns || impl_->model->parameters().sharding().shares_gradients();
  return grid.tp > 1 || (grid.dp > 1 && reduces);
}

void ModelExecutor::execute(Work work, std::function<void(Completion)> done) {
  // The completion is made by the work and handed over when the stream says it is done.
  auto shared = std::make_shared<std::pair<Work, Completion>>(std::move(work), Completion{});
  Stream& on = shared->first.kind == WorkKind::fetch ? *impl_->copies : *impl_->stream;
  on.submit([this, shared] { shared->second = impl_->run_timed(shared->first); },
            [&on, shared, done = std::move(done)] {
              Status status = on.status();
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
  if (work.kind == WorkKind::fetch) return copy_values(work);
  Completion completion;
  completion.kind = work.kind;
  completion.shard = work.shard;
  completion.stamp = work.stamp;
  switch (work.kind) {
    case WorkKind::begin_round:
      if (!work.keeps_gradients) forget_gradients(work);
      if (turns && work.mode == Mode::train) turns->begin_round();
      losses.clear();
      row_losses.clear();
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
    case WorkKind::backward_weight:
      make_weights(work, completion);
      break;
    case WorkKind::recompute:
      read_weights(work);
      steps = model->recompute(states.at(work.stamp.micro_batch));
      steps_kind = work.kind;
      advance(work, completion);
      break;
    case WorkKind::predict:
      versions.predict(work.version, delay_point(work), *stream, model->parameters());
      break;
    case WorkKind::fence:
    case WorkKind::fetch:  // not on this stream
      break;
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
      if (work.keeps_copy) {
        step_copy.take(*stream, model->parameters(), optimizer->state());
      }
      optimize(work, completion);
      break;
    case WorkKind::validate:
      step_copy.drop();
      measure_step(work.apply, completion);
      forget_gradients(work);
      break;
    case WorkKind::roll_back:
      step_copy.restore(*stream, model->parameters(), optimizer->state());
      measure_step(work.apply, completion);
      break;
  }
  return completion;
}

void ModelExecutor::Impl::read_weights(const Work& work) {
  if (work.mode != Mode::train) return versions.read(work.version, model->parameters());
  const bool is_forward = work.kind == WorkKind::forward || work.kind == WorkKind::recompute;
  versions.read_corrected(work.version, is_forward, delay_point(work), *stream,
                          model->parameters());
}

void ModelExecutor::Impl::start(const Work& work, Completion& completion) {
  steps_kind = work.kind;
  if (work.mode == Mode::generate) {
    steps = model->forward(generation.begin(work, *stream, *model));
    return advance(work, completion);
  }
  MicroBatchState& state = states[work.stamp.micro_batch];
  if (work.kind == WorkKind::forward) {
    const bool follows = work.batch.slice.index > 0;
    set_batch(*stream, work.batch, follows ? &states.at(work.stamp.micro_batch - 1) : nullptr,
              state);
    state.mode = work.mode;
    state.keeps_input = work.keeps_input;
    state.input_td = work.tensor;
    state.loss_sum = 0.0;
    steps = model->forward(state);
  } else {
    state.output_gradient = work.tensor;
    steps = backward_steps(work, state);
  }
  advance(work, completion);
}

Steps ModelExecutor::Impl::backward_steps(const Work& work, MicroBatchState& state) {
  if (work.kind == WorkKind::backward_input) return model->backward_input(state);
  if (!turns) return model->backward(state);
  if (work.ends_backward) return turns->last_backward(work, &state);
  turns->put_off(state);
  return model->backward_input(state);
}

void ModelExecutor::Impl::make_weights(const Work& work, Completion& completion) {
  MicroBatchState& state = states.at(work.stamp.micro_batch);
  if (!turns) {
    steps = model->backward_weight(state);
    steps_kind = work.kind;
    return advance(work, completion);
  }
  turns->put_off(state);
  if (work.ends_backward) {
    steps = turns->last_backward(work, nullptr);
    steps_kind = work.kind;
    return advance(work, completion);
  }
  versions.finished(work.version);
}

// Straight on while nothing is declared; a reduction over a group of one is nothing.
void ModelExecutor::Impl::advance(const Work& work, Completion& completion) {
  completion.kind = steps_kind;
  while (steps.advance()) {
    const Reduction& reduction = steps.reduction();
    const bool is_of_shards = reduction.group == ReduceGroup::tensor;
    if ((is_of_shards ? options.grid.tp : options.grid.dp) == 1) {
      if (reduction.op == ReduceOp::gather) *reduction.parts = {*reduction.tensor};
      continue;
    }
    if (reduction.unit >= 0 && work.values) {
      *reduction.parts = (*work.values)[static_cast<std::size_t>(reduction.unit)];
      continue;
    }
    completion.paused = true;
    completion.unit = reduction.unit;
    completion.group = reduction.group;
    completion.only_to = reduction.only_to;
    completion.tensor = *reduction.tensor;
    if (!reduction.is_live) completion.tensor.freeze();
    return;
  }
  finish(work, completion);
}

}  // namespace collie
