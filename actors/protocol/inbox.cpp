#include "actors/protocol/inbox.hpp"

#include "runtime/limits.hpp"

namespace collie {

namespace {

template <class T>
constexpr int kind_of() {
  return static_cast<int>(Message(T{}).index());
}

// Two links give credit for the same micro-batch, so a credit's link is part of its kind.
int credit_kind(Link link) {
  return static_cast<int>(std::variant_size_v<Message>) + static_cast<int>(link);
}

}  // namespace

const Stamp& stamp_of(const Message& message) {
  return std::visit([](const auto& m) -> const Stamp& { return m.stamp; }, message);
}

InboxKey key_of(const Message& message) {
  const Stamp& stamp = stamp_of(message);
  InboxKey key{stamp.round, stamp.micro_batch, static_cast<int>(message.index()), 0, 0, 0};
  if (const auto* credit = std::get_if<Credit>(&message)) key.kind = credit_kind(credit->link);
  if (const auto* part = std::get_if<Contribution>(&message)) {
    key.purpose = static_cast<int>(part->purpose);
    key.sequence = part->sequence;
    key.rank = part->rank;
  }
  if (const auto* sampled = std::get_if<Sampled>(&message)) key.rank = sampled->replica;
  if (const auto* norm = std::get_if<PartialNorm>(&message)) {
    key.sequence = static_cast<std::uint32_t>(norm->rank);
    key.rank = norm->tensor;
  }
  return key;
}

InboxKey apply_key(std::uint32_t round) {
  return {round, 0, kind_of<Apply>(), 0, 0, 0};
}

InboxKey partial_norm_key(std::uint32_t round, int rank, int tensor) {
  return {round, 0, kind_of<PartialNorm>(), 0, static_cast<std::uint32_t>(rank), tensor};
}

InboxKey sampled_key(std::uint32_t round, std::uint32_t turn, int replica) {
  return {round, turn, kind_of<Sampled>(), 0, 0, replica};
}

InboxKey tokens_key(std::uint32_t round, std::uint32_t micro_batch) {
  return {round, micro_batch, kind_of<Tokens>(), 0, 0, 0};
}

InboxKey activation_key(std::uint32_t round, std::uint32_t micro_batch) {
  return {round, micro_batch, kind_of<Activation>(), 0, 0, 0};
}

InboxKey gradient_key(std::uint32_t round, std::uint32_t micro_batch) {
  return {round, micro_batch, kind_of<Gradient>(), 0, 0, 0};
}

InboxKey contribution_key(std::uint32_t round, std::uint32_t micro_batch, Purpose purpose,
                          std::uint32_t sequence, int rank) {
  return {round, micro_batch, kind_of<Contribution>(), static_cast<int>(purpose), sequence, rank};
}

void Inbox::begin_round(std::uint32_t round) {
  round_ = round;
  first_turn_ = 0;
  std::erase_if(taken_, [round](const InboxKey& key) { return key.round < round; });
  std::erase_if(waiting_, [round](const auto& entry) { return entry.first.round < round; });
}

bool Inbox::has_passed(const InboxKey& key) const {
  const auto purpose = static_cast<Purpose>(key.purpose);
  const bool is_part = key.kind == kind_of<Contribution>() &&
                       (purpose == Purpose::forward || purpose == Purpose::replica_forward);
  const bool is_of_turn =
      is_part || key.kind == kind_of<Activation>() || key.kind == kind_of<Sampled>();
  return key.round == round_ && is_of_turn && key.micro_batch < first_turn_;
}

void Inbox::pass(std::uint32_t round, std::uint32_t turn) {
  COLLIE_CHECK(round == round_ && turn >= first_turn_, "turn {} of round {} has passed", turn,
               round);
  first_turn_ = turn;
  std::erase_if(taken_, [this](const InboxKey& key) { return has_passed(key); });
}

bool Inbox::is_of_run(const Message& message) const {
  const Stamp& stamp = stamp_of(message);
  return stamp.run == run_ && stamp.generation == generation_;
}

Inbox::Verdict Inbox::accept(Message message) {
  const InboxKey key = key_of(message);
  if (!is_of_run(message) || key.round < round_ || has_passed(key)) {
    ++stale_;
    return Verdict::stale;
  }
  if (waiting_.contains(key) || taken_.contains(key)) {
    ++duplicates_;
    return Verdict::duplicate;
  }
  COLLIE_CHECK(waiting_.size() < limits::inbox_messages_max, "inbox is full");
  waiting_.emplace(key, std::move(message));
  return Verdict::accepted;
}

Message Inbox::take(const InboxKey& key) {
  const auto found = waiting_.find(key);
  COLLIE_CHECK(found != waiting_.end(), "took a message that is not there");
  Message message = std::move(found->second);
  waiting_.erase(found);
  taken_.insert(key);
  return message;
}

}  // namespace collie
