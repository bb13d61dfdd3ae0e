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
  if (phase_ == Phase::awaiting_apply) return optimize_when_told(inbox);
  return std::nullopt;
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
    case Phase::optimizing:
      phase_ = Phase::over;
      send_to_trainer(std::move(completion.done), stamp_, self_, out);
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

std::optional<Work> RoundEnd::optimize_when_told(Inbox& inbox) {
  const InboxKey key = apply_key(stamp_.round);
  if (!inbox.has(key)) return std::nullopt;
  phase_ = Phase::optimizing;
  Work work = make_work(WorkKind::optimize);
  work.apply = std::get<Apply>(inbox.take(key));
  work.updates = updates_;
  return work;
}

std::string_view RoundEnd::describe() const {
  switch (phase_) {
    case Phase::exchanging:
      return "waits for its group's gradients";
    case Phase::awaiting_apply:
      return "waits for the trainer";
    default:
      return "is at the end of its step";
  }
}

}  // namespace collie
