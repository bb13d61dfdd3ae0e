// ModelExecutor: what comes of a work that has ended, and the sums it waits for.
#include <algorithm>
#include <utility>

#include "actors/shard_executor_impl.hpp"
#include "actors/stage_measures.hpp"
#include "kernels/elementwise.hpp"

namespace collie {

void ModelExecutor::Impl::finish(const Work& work, Completion& completion) {
  if (turns && turns->error()) completion.error = *turns->error();
  if (steps_kind == WorkKind::optimize) {
    steps = Steps();
    return measure_step(applied, completion);
  }
  if (work.mode == Mode::generate) return finish_turn(work, completion);
  MicroBatchState& state = states.at(work.stamp.micro_batch);
  steps = Steps();
  versions.finished(work.version);
  Tensor& output = steps_kind == WorkKind::forward ? state.output_td : state.input_gradient;
  if (output) {
    output.freeze();
    completion.tensor = std::exchange(output, Tensor());
  }
  if (steps_kind == WorkKind::forward && options.self.stage == options.grid.pp - 1) {
    const std::size_t micro_batch = work.stamp.micro_batch / state.batch.slice.count;
    losses.resize(std::max(losses.size(), micro_batch + 1), 0.0);
    losses[micro_batch] += state.loss_sum;  // slices in their order
    row_losses.resize(losses.size());
    row_losses[micro_batch] = std::move(state.row_losses);  // an evaluation has no slices
  }
}

void ModelExecutor::Impl::finish_turn(const Work& work, Completion& completion) {
  steps = Steps();
  versions.finished(work.version);
  completion.tensor = generation.take_output();
  if (completion.tensor) completion.tensor.freeze();
  completion.ids = generation.sample(*stream);
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

}  // namespace collie
