// Takes each message of a round once, keeps those that are early, and drops what is stale. Pure.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <tuple>

#include "actors/messages.hpp"

namespace collie {

// What a waiting actor asks for. Contributions are told apart by purpose, sequence and rank.
struct InboxKey {
  std::uint32_t round = 0;
  std::uint32_t micro_batch = 0;
  int kind = 0;  // alternative of Message, or the link of a Credit
  int purpose = 0;
  std::uint32_t sequence = 0;
  int rank = 0;
  auto operator<=>(const InboxKey&) const = default;
};

InboxKey key_of(const Message& message);
InboxKey apply_key(std::uint32_t round);
InboxKey partial_norm_key(std::uint32_t round, int rank, int tensor);
InboxKey tokens_key(std::uint32_t round, std::uint32_t micro_batch);
InboxKey activation_key(std::uint32_t round, std::uint32_t micro_batch);
InboxKey gradient_key(std::uint32_t round, std::uint32_t micro_batch);
InboxKey sampled_key(std::uint32_t round, std::uint32_t turn, int replica);
InboxKey contribution_key(std::uint32_t round, std::uint32_t micro_batch, Purpose purpose,
                          std::uint32_t sequence, int rank);

class Inbox {
 public:
  enum class Verdict { accepted, stale, duplicate };

  Inbox(std::uint64_t run, std::uint32_t generation) : run_(run), generation_(generation) {}

  // From now on messages of earlier rounds are stale; kept messages of this round stay.
  void begin_round(std::uint32_t round);
  Verdict accept(Message message);
  // From now on messages of this round's earlier turns (see GenerationCore) are stale.
  void pass(std::uint32_t round, std::uint32_t turn);
  // Of this run and generation, whatever its round.
  bool is_of_run(const Message& message) const;
  bool has(const InboxKey& key) const { return waiting_.contains(key); }
  // The key must be there.
  Message take(const InboxKey& key);

  std::size_t size() const { return waiting_.size(); }
  std::size_t stale_count() const { return stale_; }
  std::size_t duplicate_count() const { return duplicates_; }

 private:
  bool has_passed(const InboxKey& key) const;

  std::uint64_t run_;
  std::uint32_t generation_;
  std::uint32_t round_ = 0;
  std::uint32_t first_turn_ = 0;  // of the round; earlier ones have passed
  std::map<InboxKey, Message> waiting_;
  std::set<InboxKey> taken_;  // of the current round and later ones
  std::size_t stale_ = 0;
  std::size_t duplicates_ = 0;
};

}  // namespace collie
