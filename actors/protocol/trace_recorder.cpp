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
    case WorkKind::recompute:
      return Verb::recompute;
    case WorkKind::predict:
      return Verb::predict;
    case WorkKind::fence:
      return Verb::fence;
    case WorkKind::update:
      return Verb::step;
    case WorkKind::optimize:
      return updates_in_program ? std::nullopt : std::optional(Verb::step);
    default:
      return std::nullopt;
  }
}

}  // namespace

void TraceRecorder::begin_round(std::uint32_t round, bool is_wanted, std::size_t hosted_count) {
  // At most the round before is still under way.
  std::erase_if(rounds_, [&](const auto& entry) { return entry.first + 2 < round; });
  if (is_wanted) rounds_[round].traces.resize(hosted_count);
  paused_since_s_ = 0.0;
}

// Works finish in the order they start, so this is the order of the program.
void TraceRecorder::completed(const Completion& completion, std::size_t hosted,
                              const HostedStage& stage, bool updates_in_program) {
  const auto found = rounds_.find(completion.stamp.round);
  if (found == rounds_.end()) return;
  Round& round = found->second;
  std::vector<TracedAction>& trace = round.traces[hosted];
  if (completion.kind == WorkKind::roll_back) {
    std::erase_if(trace, [](const TracedAction& done) { return done.action.verb == Verb::step; });
  }
  const std::optional<Verb> verb = traced_verb(completion, updates_in_program);
  if (!verb) return;
  const double begin_s = paused_since_s_ > 0.0 ? paused_since_s_ : completion.begin_s;
  paused_since_s_ = completion.paused ? begin_s : 0.0;
  if (completion.paused) return;
  TracedAction done;
  done.action = {.verb = *verb,
                 .stage = stage.stage,
                 .micro_batch = static_cast<int>(completion.stamp.micro_batch),
                 .direction = static_cast<signed char>(stage.direction)};
  if (*verb == Verb::fence) done.action = {.verb = Verb::fence};  // of no stage
  done.position = round.count++;
  done.begin_s = begin_s;
  done.end_s = completion.end_s;
  trace.push_back(done);
}

void TraceRecorder::forget(std::uint32_t round) {
  rounds_.erase(round);
  paused_since_s_ = 0.0;
}

std::vector<TracedAction> TraceRecorder::take(std::uint32_t round, std::size_t hosted) {
  const auto found = rounds_.find(round);
  return found == rounds_.end() ? std::vector<TracedAction>()
                                : std::move(found->second.traces[hosted]);
}

}  // namespace collie
