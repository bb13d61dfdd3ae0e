#include "actors/protocol/round_end.hpp"

namespace collie {

namespace {

template <class Report>
void send_to_trainer(Report report, const Stamp& stamp, const ShardId& from, Commands& out) {
  report.stamp = stamp;
  report.from = from;
  out.emplace_back(Send{Address{Role::trainer, {}}, std::move(report)});
}

}  // namespace

Work RoundEnd::make_work(WorkKind kind) const {
  Work work;
  work.kind = kind;
  work.stamp = stamp_;
  return work;
}

Work RoundEnd::begin(Mode mode, const Stamp& stamp) {
  mode_ = mode;
  stamp_ = stamp;
  rollbacks_ = 0;
  // Only training has gradients to exchange.
  exchange_ = mode == Mode::train ? 0 : exchanges_.size();
  return next_exchange();
}

Work RoundEnd::next_exchange() {
  if (exchange_ == exchanges_.size()) {
    phase_ = Phase::reporting;
    return make_work(WorkKind::report);
  }
  phase_ = Phase::preparing;
  Work work = make_work(WorkKind::prepare);
  work.purpose = exchanges_[exchange_].purpose;
  return work;
}

std::optional<Work> RoundEnd::message_arrived(Inbox& inbox) {
  if (phase_ == Phase::exchanging) return combine_when_complete(inbox);
  if (awaits_trainer() || awaits_validation()) return decide_when_told(inbox);
  return std::nullopt;
}

Work RoundEnd::update_early(const Apply& guess) {
  COLLIE_CHECK(awaits_trainer(), "updates early in another phase");
  phase_ = Phase::updating_early;
  apply_ = guess;
  Work work = optimize();
  work.keeps_copy = true;
  return work;
}

bool RoundEnd::ends_with(WorkKind kind) const {
  switch (kind) {
    case WorkKind::optimize:
      return phase_ == Phase::optimizing;
    case WorkKind::roll_back:
      return apply_.is_refused;
    default:
      return kind == WorkKind::validate;
  }
}

std::optional<Work> RoundEnd::completed(Completion completion, Inbox& inbox, Commands& out) {
  switch (phase_) {
    case Phase::preparing:
      phase_ = Phase::exchanging;
      parts_.begin(exchanges_[exchange_], stamp_, 0, std::move(completion.tensor), out);
      return combine_when_complete(inbox);
    case Phase::combining:
      ++exchange_;
      return next_exchange();
    case Phase::reporting:
      phase_ = mode_ == Mode::train ? Phase::awaiting_apply : Phase::over;
      send_to_trainer(std::move(completion.report), stamp_, self_, out);
      return message_arrived(inbox);
    case Phase::updating_early:
      phase_ = Phase::updated_early;
      return message_arrived(inbox);
    case Phase::rolling_back:
      if (!apply_.is_refused) {
        phase_ = Phase::optimizing;
        return optimize();
      }
      finish(std::move(completion), out);
      return std::nullopt;
    case Phase::optimizing:
    case Phase::validating:
      finish(std::move(completion), out);
      return std::nullopt;
    default:
      COLLIE_CHECK(false, "completion in no phase that has work");
  }
  return std::nullopt;
}

std::optional<Work> RoundEnd::combine_when_complete(Inbox& inbox) {
  if (!parts_.is_complete(inbox)) return std::nullopt;
  phase_ = Phase::combining;
  Work work = make_work(WorkKind::combine);
  work.purpose = exchanges_[exchange_].purpose;
  work.parts = parts_.take(inbox);
  return work;
}

std::optional<Work> RoundEnd::decide_when_told(Inbox& inbox) {
  const InboxKey key = apply_key(stamp_.round);
  if (!inbox.has(key)) return std::nullopt;
  const bool has_updated = awaits_validation();
  const double scale_used = apply_.gradient_scale;
  apply_ = std::get<Apply>(inbox.take(key));
  if (!apply_.is_refused && !has_updated) {
    phase_ = Phase::optimizing;
    return optimize();
  }
  const bool stands = !apply_.is_refused && apply_.gradient_scale == scale_used;
  phase_ = stands ? Phase::validating : Phase::rolling_back;
  if (has_updated && !stands) ++rollbacks_;
  // Without an early update there is nothing to take back: the work ends the round alike.
  Work work = make_work(stands ? WorkKind::validate : WorkKind::roll_back);
  work.apply = apply_;
  work.apply.want_hash = stands && apply_.want_hash;
  return work;
}

Work RoundEnd::optimize() {
  Work work = make_work(WorkKind::optimize);
  work.apply = apply_;
  work.updates = updates_;
  return work;
}

void RoundEnd::finish(Completion completion, Commands& out) {
  phase_ = Phase::over;
  completion.done.rollbacks = rollbacks_;
  send_to_trainer(std::move(completion.done), stamp_, self_, out);
}

std::string_view RoundEnd::describe() const {
  switch (phase_) {
    case Phase::exchanging:
      return "waits for its group's gradients";
    case Phase::awaiting_apply:
      return "waits for the trainer";
    case Phase::updated_early:
      return "waits for the validation of its update";
    default:
      return "is at the end of its step";
  }
}

}  // namespace collie
