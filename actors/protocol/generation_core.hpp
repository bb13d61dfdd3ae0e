// Which group of sequences is where, and what a shard takes in next, when a model generates. Pure.
//
// The sequences of a replica are in groups, so many that all ranks of the pipeline are busy. The
// groups take turns, group turn % groups the one of number `turn`. A turn is one forward through
// all stages: the prompt of one sequence, or the last token of every sequence of the group. The
// last stage draws the next tokens and tells every shard of the replica; a group's next turn begins
// when those of its last one are known. A sequence that has ended leaves its place to the next
// prompt of its group, of which the prompts g, g + groups, ... are.
//
// Every shard walks the same turns in the same order, for all that decides is told to all: so
// tensor shards meet at the same reductions, and what is generated depends on no message's timing.
//
// Where replicas meet at reductions too (ZeRO-3 that copies values) they go on together: a group
// takes turns until it is idle in all replicas, with a token that nobody reads where it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "actors/protocol/inbox.hpp"
#include "actors/protocol/work.hpp"

namespace collie {

class GenerationCore {
 public:
  enum class State {
    waits,  // for a prompt, or for the tokens of the group's last turn
    ready,
    over,
  };

  // For a round. With `together`, of all replicas.
  void begin(const GenerationSettings& settings, int replica, int replicas, bool together);
  // Takes from the inbox what the next turn waits for. State::ready: take_turn() may follow.
  State settle(std::uint32_t round, Inbox& inbox);
  // The number of the next turn; its stamp's micro_batch. Settled or not.
  std::uint32_t turn() const { return turn_; }
  // How often every group has had its turn before this one.
  std::uint32_t rotation() const { return turn_ / static_cast<std::uint32_t>(settings_.groups); }
  // The work of the next turn but for its activation.
  Work take_turn(std::uint32_t round, Inbox& inbox);

  // On the last stage, before the tokens of a turn are told: whether its group will be idle.
  bool is_idle_after(std::uint32_t turn, const std::vector<std::int32_t>& ids) const;
  // Of the replica, in the order of its prompts, once over.
  std::vector<GeneratedSequence> take_generated();
  std::string describe() const;

 private:
  struct Row {
    int prompt = -1;            // in the replica; -1: the place is free
    std::int32_t id = 0;        // the last token, not taken in yet
    std::int64_t position = 0;  // of that token
    std::int64_t made = 0;      // new tokens
  };
  struct Group {
    std::vector<Row> rows;
    std::vector<std::size_t> asked;  // rows of the turn under way
    int next_prompt = 0;
    bool is_asked = false;  // a turn is under way
    bool is_over = false;
  };

  bool has_samples(std::uint32_t round, std::uint32_t turn, const Inbox& inbox) const;
  bool take_samples(std::uint32_t round, std::uint32_t turn, Inbox& inbox);
  void apply(Group& group, const std::vector<std::int32_t>& ids);
  std::optional<FinishReason> end_of(const Row& row, std::int32_t id) const;
  bool is_idle(const Group& group) const;
  bool may_begin(const Group& group) const;
  Group& group_of(std::uint32_t turn);
  void begin_prompt(Group& group, std::uint32_t round, Inbox& inbox, Work& work);
  void decode(Group& group, Work& work);

  GenerationSettings settings_;
  int replica_ = 0, replicas_ = 1;
  bool together_ = false;
  int prompts_ = 0;  // of this replica
  std::vector<Group> groups_;
  int groups_left_ = 0;
  std::uint32_t turn_ = 0;
  std::vector<GeneratedSequence> generated_;
};

}  // namespace collie
