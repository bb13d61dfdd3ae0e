// RankCore: how rounds begin, end and, with post-validation, overlap.
#include <algorithm>
#include <utility>

#include "actors/protocol/rank_core.hpp"

namespace collie {

bool RankCore::has_ended() const {
  return std::ranges::all_of(ends_, &RoundEnd::is_over);
}

// Before the update is validated only that may start which can be forgotten: the gradients, from
// which the update would be made again, stay. The last stage's forward makes gradients of the head.
bool RankCore::reads_alone(const Action& action) const {
  return action.verb == Verb::forward && !cursor_.hosted(cursor_.hosted_index(action)).is_last;
}

void RankCore::begin_next_round(Commands& out) {
  if (phase_ != Phase::ending) return;
  const bool has_updated = std::ranges::all_of(
      ends_, [](const RoundEnd& end) { return end.is_over() || end.awaits_validation(); });
  if (const auto begin = order_.take_next(round_, has_ended(), has_updated)) {
    begin_round(*begin, out);
  }
}

void RankCore::begin_round(const BeginRound& begin, Commands& out) {
  // A round whose update the trainer refused (a loss that is not finite) ends here, unapplied.
  COLLIE_CHECK(phase_ == Phase::ending && std::ranges::all_of(ends_,
                                                              [](const RoundEnd& end) {
                                                                return end.is_over() ||
                                                                       end.awaits_trainer() ||
                                                                       end.awaits_validation();
                                                              }),
               "round {} began before round {} ended", begin.stamp.round, round_);
  round_before_ = std::exchange(round_, begin.stamp.round);
  mode_ = begin.mode;
  begin_ = begin;
  updates_.assign(inboxes_.size(), 0);
  weights_left_ = weights_per_round_;
  fence_.begin_round();
  trace_.begin_round(round_, begin.want_trace, inboxes_.size());
  validation_.begin_round(stamp(0), begin.clip_norm);
  phase_ = Phase::program;
  cursor_.begin_round(mode_, round_, begin.micro_batches);
  if (begin.curvature) cursor_.keep_units(begin.micro_batches * config_.slices);
  for (std::size_t hosted = 0; hosted < inboxes_.size(); ++hosted) {
    if (ends_[hosted].awaits_trainer()) ends_[hosted].abandon();
    if (ends_[hosted].is_over()) inboxes_[hosted].begin_round(round_);
    fetch_values(hosted, out);
    Work work;
    work.kind = WorkKind::begin_round;
    work.keeps_gradients = !ends_[hosted].is_over();
    work.stamp = stamp(0);
    issue(hosted, std::move(work), out);
  }
  meter_.begin_round(round_, waiting_messages());
  if (mode_ == Mode::generate) begin_generation();
  advance(out);
}

void RankCore::fetch_values(std::size_t hosted, Commands& out) {
  if (!fetches_[hosted].is_used() || meets_replicas()) return;
  std::vector<Verb> verbs;
  // How many forwards a generation takes, nobody knows.
  const bool is_known = mode_ != Mode::generate;
  for (const Action& action : is_known ? cursor_.round_program() : std::span<const Action>()) {
    if (action.verb != Verb::fence && cursor_.hosted_index(action) == hosted) {
      verbs.push_back(action.verb);
    }
  }
  fetches_[hosted].begin_round(stamp(0), verbs, out);
}

// True: it was a request, and there is nothing more to do.
bool RankCore::take_values(std::size_t hosted, const Contribution& part, Commands& out) {
  if (part.purpose == Purpose::value_request) {
    inboxes_[hosted].take(key_of(part));
    fetches_[hosted].requested(part, out);
    return true;
  }
  if (part.purpose != Purpose::values) return false;
  if (std::optional<Work> copy = fetches_[hosted].answered(part, inboxes_[hosted])) {
    copy->shard = config_.hosted[hosted].id;
    out.emplace_back(std::move(*copy));
  }
  issue(hosted, fetches_[hosted].resume_when_there(), out);
  return true;
}

void RankCore::paused(const Completion& completion, std::size_t hosted, Commands& out) {
  if (completion.unit >= 0 && !meets_replicas()) {
    fetches_[hosted].pause(completion, out);
    return issue(hosted, fetches_[hosted].resume_when_there(), out);
  }
  reductions_[hosted].pause(completion, out);
  issue(hosted, reductions_[hosted].resume_when_complete(inboxes_[hosted]), out);
}

// The update that this round's forwards have read does not stand: they are forgotten, and the
// trainer begins the round anew, under another number, which makes all its messages stale.
void RankCore::give_up(std::uint32_t round) {
  if (!order_.give_up(round) || round_ != round) return;
  phase_ = Phase::ending;
  round_ = round_before_;
  for (PausedReduction& reduction : reductions_) reduction.cancel();
  trace_.forget(round);
}

void RankCore::end_completed(Completion completion, std::size_t hosted, Commands& out) {
  RoundEnd& end = ends_[hosted];
  const bool is_measured = mode_ == Mode::train && config_.hosted[hosted].stage.direction == 0;
  if (completion.kind == WorkKind::report && is_measured) validation_.measured(completion.report);
  if (mode_ == Mode::generate) report_generated(hosted, completion.report);
  if (end.ends_with(completion.kind)) {
    completion.done.trace = trace_.take(completion.stamp.round, hosted);
    if (hosted == 0) completion.done.use = meter_.take(completion.stamp.round);
  }
  issue(hosted, end.completed(std::move(completion), inboxes_[hosted], out), out);
  update_early(out);
  if (end.is_over()) {
    rollbacks_ += end.rollbacks();
    inboxes_[hosted].begin_round(round_);
  }
  if (config_.norms.is_used) begin_next_round(out);
  advance(out);
}

void RankCore::update_early(Commands& out) {
  if (mode_ != Mode::train || begin_.curvature) return;
  if (!validation_.may_step(inboxes_.front(), out)) return;
  const Apply guess{stamp(0), begin_.step + 1, begin_.learning_rate, 1.0};
  for (std::size_t hosted = 0; hosted < ends_.size(); ++hosted) {
    if (ends_[hosted].awaits_trainer()) issue(hosted, ends_[hosted].update_early(guess), out);
  }
}

}  // namespace collie
