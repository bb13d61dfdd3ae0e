#include "actors/protocol/trace_recorder.hpp"

namespace collie {

namespace {

std::optional<Verb> traced_verb(const Completion& completion, bool updates_in_program) {
  switch (completion.kind) {
    case WorkKind::forward:
      return Verb::forward;
    case WorkKind::backward:
      return Verb::backward;
    case WorkKind::backward_input:
      return Verb::backward_input;
    case WorkKind::backward_weight:
      return Verb::backward_weight;
    case WorkKind::update:
      return Verb::step;
    case WorkKind::optimize:
      return updates_in_program ? std::nullopt : std::optional(Verb::step);
    default:
      return std::nullopt;
  }
}

}  // namespace

void TraceRecorder::begin_round(bool is_wanted, std::size_t hosted_count) {
  is_wanted_ = is_wanted;
  traces_.assign(hosted_count, {});
  count_ = 0;
  paused_since_s_ = 0.0;
}

// Works finish in the order they start, so this is the order of the program.
void TraceRecorder::completed(const Completion& completion, std::size_t hosted,
                              const HostedStage& stage, bool updates_in_program) {
  const std::optional<Verb> verb = traced_verb(completion, updates_in_program);
  if (!is_wanted_ || !verb) return;
  const double begin_s = paused_since_s_ > 0.0 ? paused_since_s_ : completion.begin_s;
  paused_since_s_ = completion.paused ? begin_s : 0.0;
  if (completion.paused) return;
  TracedAction done;
  done.action = {.verb = *verb,
                 .stage = stage.stage,
                 .micro_batch = static_cast<int>(completion.stamp.micro_batch),
                 .direction = static_cast<signed char>(stage.direction)};
  done.position = count_++;
  done.begin_s = begin_s;
  done.end_s = completion.end_s;
  traces_[hosted].push_back(done);
}

}  // namespace collie
