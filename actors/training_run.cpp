#include "actors/training_run.hpp"

#include "models/lr_schedule.hpp"
#include "runtime/elapsed.hpp"

namespace collie {

namespace {

// A step of the user's own.
class OwnStep final : public StepContext {
 public:
  OwnStep(TrainingRun& run, RoundRequest& request) : run_(run), request_(request) {}
  std::int64_t step() const override { return request_.step + 1; }
  RoundRequest& request() override { return request_; }
  Result<RoundOutcome> round() override {
    COLLIE_CHECK(++rounds_ == 1, "a step's round() was called twice");
    return run_.grid->round(request_);
  }
  Result<RoundOutcome> evaluate() override {
    return run_.evaluations->round(*run_.grid->setup().train_data, request_.step);
  }
  bool has_run() const { return rounds_ == 1; }

 private:
  TrainingRun& run_;
  RoundRequest& request_;
  int rounds_ = 0;
};

}  // namespace

bool TrainingRun::evaluates_after(std::int64_t steps) const {
  return steps < total() && evaluations->any_due(steps);
}

bool TrainingRun::saves_after(std::int64_t steps) const {
  const std::int64_t every = config().checkpoint.every_steps;
  return steps == total() || (every > 0 && steps % every == 0) ||
         passes_epochs(grid->setup(), config().checkpoint.every_epochs, steps);
}

RoundRequest TrainingRun::request_for(std::int64_t step) const {
  const TrainSection& train = config().train;
  RoundRequest request;
  request.step = step;
  request.micro_batches = grid->setup().model.micro_batches;
  request.learning_rate = learning_rate(train, total(), step);
  request.clip_norm = train.clip_norm;
  // Before a step is saved, replicas that have drifted apart are found out.
  request.want_hash = saves_after(step + 1) && config().grid.dp > 1;
  // The first step of a run warms caches and pools up: it tells nothing about the others.
  const std::int64_t first_traced = grid->resumed_step() + 1;
  request.want_trace = step >= first_traced && step < first_traced + config().output.trace_steps;
  return request;
}

// What the parameters are asked for between two steps needs them validated, so the second step
// begins early only where nothing comes between.
std::optional<RoundRequest> TrainingRun::next_for_certain() const {
  const std::int64_t after = steps_done + 1;
  const bool stops = stop_requested() || finish_reason || evaluates_after(after) ||
                     saves_after(after) || callbacks.reads_parameters_after(after);
  if (!config().train.post_validation || options.train_step || stops) return std::nullopt;
  const RoundRequest next = request_for(after);
  return grid->curvature_before(next) ? std::nullopt : std::optional(next);
}

Result<RoundOutcome> TrainingRun::perform(RoundRequest& request) {
  if (!options.train_step) return grid->round(request, begun_early);
  OwnStep context(*this, request);
  COLLIE_TRY(RoundOutcome outcome, options.train_step(context));
  if (context.has_run()) return outcome;
  return make_error(ErrorCode::unsupported, "step {}: its function has not called round()",
                    request.step + 1);
}

Result<StepEvent> TrainingRun::step() {
  const auto begin = std::chrono::steady_clock::now();
  RoundRequest request = begun_early ? *begun_early : request_for(steps_done);
  callbacks.tell(&Callback::on_step_begin,
                 StepBegin{steps_done + 1, total(), request.learning_rate});
  begun_early = next_for_certain();
  Result<RoundOutcome> outcome = perform(request);
  if (!outcome) {
    begun_early.reset();
    return std::move(outcome).error();
  }
  ++steps_done;
  if (request.want_trace) COLLIE_TRY_VOID(record_trace(*outcome));
  return event_of(*outcome, request, seconds_since(begin));
}

StepEvent TrainingRun::event_of(const RoundOutcome& outcome, const RoundRequest& request,
                                double seconds) {
  StepEvent event;
  event.step = steps_done;
  event.total_steps = total();
  event.epoch = static_cast<double>(steps_done * grid->setup().layout.global_rows()) /
                static_cast<double>(grid->setup().train_data->row_count());
  event.loss = outcome.loss;
  event.learning_rate = request.learning_rate;
  event.gradient_norm = outcome.gradient_norm;
  event.rollbacks = outcome.rollbacks;
  event.tokens = outcome.tokens;
  event.valid_tokens = outcome.valid_tokens;
  event.seconds = seconds;
  event.tokens_per_s = static_cast<double>(outcome.tokens) / event.seconds;
  event.mfu = event.tokens_per_s * flops_per_token / peak_flops;
  for (const std::size_t bytes : outcome.peak_bytes) event.peak_bytes += bytes;
  event.ranks = utilisation_of(outcome.ranks);
  return event;
}

// The parameters are as they were before the step.
Status TrainingRun::decide_non_finite(const Error& error) {
  if (error.code != ErrorCode::non_finite) return error;
  switch (callbacks.ask_non_finite(steps_done + 1, error)) {
    case NonFiniteAction::stop:
      note(error.message);
      stop();
      return ok_status();
    case NonFiniteAction::skip:
      note(error.message + "; left out");
      ++steps_done;
      return ok_status();
    default:
      return error;
  }
}

std::int64_t TrainingRun::epochs_after(std::int64_t steps) const {
  return steps * grid->setup().layout.global_rows() / grid->setup().train_data->row_count();
}

Status TrainingRun::one_step(TrainingReport& report) {
  const std::int64_t epochs = epochs_after(steps_done);
  const Result<StepEvent> event = step();
  if (!event) {
    COLLIE_TRY_VOID(decide_non_finite(event.error()));
  } else {
    report.final_loss = event->loss;
    callbacks.tell(&Callback::on_step, *event);
    if (evaluates_after(steps_done)) COLLIE_TRY_VOID(evaluate_due(false));
  }
  for (std::int64_t epoch = epochs + 1; epoch <= epochs_after(steps_done); ++epoch) {
    callbacks.tell(&Callback::on_epoch_end, EpochEvent{epoch, steps_done});
    if (steps_done < total()) {
      callbacks.tell(&Callback::on_epoch_begin, EpochEvent{epoch + 1, steps_done});
    }
  }
  return failed();
}

Status TrainingRun::train(TrainingReport& report) {
  saved_states = callbacks.states();
  if (!finished()) {
    callbacks.tell(&Callback::on_epoch_begin, EpochEvent{epochs_after(steps_done) + 1, steps_done});
  }
  // A step that has been begun is finished even if an end is asked for.
  while (steps_done < total() && (begun_early || (!stop_requested() && !finish_reason))) {
    COLLIE_TRY_VOID(one_step(report));
    const bool ends = stop_requested() || finish_reason;
    if (!begun_early && (ends || saves_after(steps_done))) COLLIE_TRY_VOID(save_run());
  }
  report.stopped_early = !finished();
  return ok_status();
}

// After the last step.
Status TrainingRun::end(TrainingReport& report) {
  COLLIE_TRY_VOID(evaluate_due(true));
  // What callbacks have learned from the last evaluations belongs to the last step's checkpoint.
  if (callbacks.states() != saved_states) COLLIE_TRY_VOID(save_run());
  callbacks.tell_trained();
  COLLIE_TRY_VOID(failed());
  report.parameter_hash = grid->parameter_hash();
  std::optional<EvaluationEvent> last;
  if (validation && replaced_parameters) {
    COLLIE_TRY(last, evaluations->run(*validation, steps_done, false));
  } else if (validation) {
    last = *evaluations->result_of(*validation, steps_done);
  }
  if (last) report.validation_loss = last->loss;
  if (last) report.perplexity = last->perplexity;
  return save_model(report);
}

}  // namespace collie
