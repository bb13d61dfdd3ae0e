#include "actors/protocol/value_fetch.hpp"

#include <algorithm>

namespace collie {

ValueFetch::ValueFetch(const Grid& grid, const ShardId& self, ValueLayout layout)
    : grid_(grid), self_(self), layout_(std::move(layout)) {
  for (const std::vector<ValueUnit>& segment : layout_.segments) {
    first_units_.push_back(static_cast<int>(units_.size()));
    units_.insert(units_.end(), segment.begin(), segment.end());
  }
}

ShardId ValueFetch::at_replica(int replica) const {
  ShardId shard = self_;
  shard.replica = replica;
  return shard;
}

void ValueFetch::list_segment(std::size_t segment) {
  for (std::size_t i = 0; i < layout_.segments[segment].size(); ++i) {
    uses_.push_back({first_units_[segment] + static_cast<int>(i), segment_uses_});
  }
  ++segment_uses_;
}

void ValueFetch::list_uses(std::span<const Verb> verbs) {
  const std::size_t segments = layout_.segments.size();
  if (!layout_.copies) {
    for (std::size_t segment = 0; segment < segments; ++segment) list_segment(segment);
    return;
  }
  for (const Verb verb : verbs) {
    if (verb == Verb::backward_weight && !layout_.weights_read_values) continue;
    const bool goes_forward = verb == Verb::forward || verb == Verb::recompute;
    for (std::size_t i = 0; i < segments; ++i) list_segment(goes_forward ? i : segments - 1 - i);
  }
}

void ValueFetch::begin_round(const Stamp& stamp, std::span<const Verb> verbs, Commands& out) {
  if (!is_used()) return;
  stamp_ = stamp;
  uses_.clear();
  segment_uses_ = asked_ = next_ = hits_ = 0;
  paused_ = false;
  table_ = nullptr;
  list_uses(verbs);
  for (const Contribution& request : std::exchange(early_, {})) requested(request, out);
  ask_through(layout_.copies ? layout_.prefetch - 1 : segment_uses_ - 1, out);
  publish_when_complete();
}

void ValueFetch::ask_through(int segment_use, Commands& out) {
  while (asked_ < static_cast<int>(uses_.size()) && at(asked_).segment_use <= segment_use) {
    ask(asked_++, out);
  }
}

void ValueFetch::ask(int number, Commands& out) {
  Use& use = at(number);
  const ValueUnit& unit = unit_at(use.unit);
  use.state = Use::State::there;
  use.parts.resize(static_cast<std::size_t>(grid_.dp));
  use.parts[static_cast<std::size_t>(self_.replica)] = unit.own;
  Stamp stamp = stamp_;
  stamp.micro_batch = static_cast<std::uint32_t>(number);
  for (const int owner : unit.owners) {
    if (owner == self_.replica) continue;
    use.state = Use::State::asked;
    out.emplace_back(
        Send{shard_address(at_replica(owner)), Contribution{stamp,
                                                            Purpose::value_request,
                                                            static_cast<std::uint32_t>(use.unit),
                                                            self_.replica,
                                                            {}}});
  }
}

void ValueFetch::requested(const Contribution& request, Commands& out) {
  const std::uint32_t round = request.stamp.round;
  if (round > stamp_.round) return early_.push_back(request);
  if (round < stamp_.round) return;
  COLLIE_CHECK(request.sequence < units_.size(), "asked for values {}", request.sequence);
  out.emplace_back(
      Send{shard_address(at_replica(request.rank)),
           Contribution{request.stamp, Purpose::values, request.sequence, self_.replica,
                        unit_at(static_cast<int>(request.sequence)).own}});
}

bool ValueFetch::is_complete(int number, const Inbox& inbox) const {
  const int unit = uses_[static_cast<std::size_t>(number)].unit;
  return std::ranges::all_of(unit_at(unit).owners, [&](int owner) {
    return owner == self_.replica ||
           inbox.has(contribution_key(stamp_.round, static_cast<std::uint32_t>(number),
                                      Purpose::values, static_cast<std::uint32_t>(unit), owner));
  });
}

std::optional<Work> ValueFetch::answered(const Contribution& answer, Inbox& inbox) {
  if (answer.stamp.round != stamp_.round) return std::nullopt;
  const auto number = static_cast<int>(answer.stamp.micro_batch);
  COLLIE_CHECK(number < asked_ && at(number).state == Use::State::asked, "values not asked for");
  if (!is_complete(number, inbox)) return std::nullopt;
  Use& use = at(number);
  for (const int owner : unit_at(use.unit).owners) {
    if (owner == self_.replica) continue;
    Message part = inbox.take(contribution_key(stamp_.round, answer.stamp.micro_batch,
                                               Purpose::values, answer.sequence, owner));
    use.parts[static_cast<std::size_t>(owner)] = std::move(std::get<Contribution>(part).tensor);
  }
  use.state = layout_.copies ? Use::State::copying : Use::State::there;
  publish_when_complete();
  if (!layout_.copies) return std::nullopt;
  Work work;
  work.kind = WorkKind::fetch;
  work.stamp = answer.stamp;
  work.parts = std::move(use.parts);
  return work;
}

void ValueFetch::copied(Completion completion) {
  if (completion.stamp.round != stamp_.round) return;
  Use& use = at(static_cast<int>(completion.stamp.micro_batch));
  use.parts = std::move(completion.parts);
  use.state = Use::State::there;
}

// What stays in place needs no pauses once all of it is known.
void ValueFetch::publish_when_complete() {
  const auto is_there = [](const Use& use) { return use.state == Use::State::there; };
  if (layout_.copies || table_ || !std::ranges::all_of(uses_, is_there)) return;
  auto table = std::make_shared<ValueTable>();
  for (const Use& use : uses_) table->push_back(use.parts);
  table_ = std::move(table);
}

void ValueFetch::pause(const Completion& completion, Commands& out) {
  paused_ = true;
  waiting_ = layout_.copies ? next_ : completion.unit;
  ++next_;
  // A work that the round was not told of asks when it comes to it.
  if (waiting_ == static_cast<int>(uses_.size()))
    uses_.push_back({completion.unit, segment_uses_++});
  COLLIE_CHECK(waiting_ < static_cast<int>(uses_.size()) && at(waiting_).unit == completion.unit,
               "values {} are read out of turn", completion.unit);
  if (at(waiting_).state == Use::State::there) ++hits_;
  // What was read before has been dropped.
  if (layout_.copies) ask_through(at(waiting_).segment_use + layout_.prefetch, out);
  stamp_.micro_batch = completion.stamp.micro_batch;
}

std::optional<Work> ValueFetch::resume_when_there() {
  if (!paused_ || at(waiting_).state != Use::State::there) return std::nullopt;
  paused_ = false;
  Work work;
  work.kind = WorkKind::resume;
  work.stamp = stamp_;
  if (layout_.copies) {
    work.parts = std::move(at(waiting_).parts);
  } else {
    work.parts = at(waiting_).parts;
  }
  return work;
}

std::string ValueFetch::describe() const {
  return fmt::format("values {}, use {}", uses_[static_cast<std::size_t>(waiting_)].unit, waiting_);
}

}  // namespace collie
