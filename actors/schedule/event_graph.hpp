// Which actions of a lowered schedule can ever happen, given what its channels hold. Exact for
// static programs: sends and receives of a pair of ranks have a fixed order, so the event graph has
// static edges only, and a schedule is free of deadlock if and only if that graph has no cycle.
//   - An action waits for the action before it on its rank.
//   - A receive waits for the send of the same message.
//   - With credit c the n-th send of a directed pair of ranks waits for the (n-c)-th receive of
//     that pair, in the receiver's order, whatever message that takes.
//   - Rendezvous: a send and its receive are one event. A FENCE is one event of all ranks; the k-th
//     REDUCE_GRADs of a stage are one event of its two ranks.
//   - FIFO: in addition the k-th receive of a pair has to be that of the k-th send.
// The order is removed as by Kahn's algorithm. Because the actions of a rank are a chain, the only
// one of a rank that can be free of predecessors stands at the rank's cursor, so that the state is
// a cursor per rank and two counters per pair. Linear in the number of actions.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "actors/schedule/action_index.hpp"

namespace collie {

class EventGraph {
 public:
  static constexpr int rendezvous = 0;
  static constexpr int unbounded = INT32_MAX;

  // Each message of the schedule is sent once and received once (else validate() stops before).
  explicit EventGraph(const Schedule& lowered);

  // The actions of each rank that can happen; the ends of the programs if no deadlock.
  std::vector<int> reach(int credit) const;
  bool completes(int credit) const;
  // With tagged mailboxes; 0: rendezvous is enough; -1: deadlock at any depth.
  int minimum_credit() const;

  // The first receive of the programs that does not find its message at the head of the line, and
  // the send that is there instead; none: FIFO is as good as tags.
  struct Mismatch {
    ActionPlace receive;
    ActionPlace head;
  };
  std::optional<Mismatch> fifo_mismatch() const;

  // What the action at a stuck rank's cursor waits for: an action on another rank.
  ActionPlace awaited(int rank, const std::vector<int>& cursors, int credit) const;

  const Action& at(ActionPlace place) const {
    return lowered_
        .programs[static_cast<std::size_t>(place.rank)][static_cast<std::size_t>(place.position)];
  }

 private:
  friend class EventWalk;
  struct Pair {
    int from = 0, to = 0;
    int messages = 0;
  };
  // Where the two ends of a message stand; the ranks follow from its pair.
  struct Ends {
    int send = -1;
    int receive = -1;
  };
  void find_pairs();
  void find_ends();
  int pair_of(const Action& message) const;
  std::size_t ends_key(const Action& message) const;
  const Ends& ends_of(const Action& message) const { return ends_[ends_key(message)]; }
  ActionPlace next_receive(int pair, const std::vector<int>& cursors) const;
  ActionPlace next_collective(int rank, const std::vector<int>& cursors) const;

  const Schedule& lowered_;
  std::vector<Pair> pairs_;
  std::vector<int> pair_of_boundary_;  // by direction, kind of message, sending stage
  std::vector<Ends> ends_;             // by kind of message and unit
};

}  // namespace collie
