// ZeRO-3: how a shard comes to the values that other replicas hold. A segment's values are asked of
// their owners, which answer from their stores while they compute: nobody writes them before the
// update, and an owner answers for a round once it has begun it itself, its update of the round
// before done. So replicas need not be at the same segment, and a link can answer by reading the
// store. Pure.
//
// Where values are read in place (one process), all are asked for when a round begins and kept to
// its end, for they take no memory. Where they are copied, each use of a segment asks anew: when
// the program comes to a segment, those of the next `prefetch` segments of the program are asked
// for, over the ends of works; so no more than prefetch + 1 segments are copied at once.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "actors/protocol/inbox.hpp"
#include "actors/protocol/work.hpp"
#include "actors/schedule/action.hpp"

namespace collie {

// A range of the flat stores that a segment reads.
struct ValueUnit {
  Tensor own;               // what of it stands here; undefined: nothing
  std::vector<int> owners;  // the replicas that hold some of it
};

struct ValueLayout {
  std::vector<std::vector<ValueUnit>> segments;  // empty: values are not shared
  bool weights_read_values = false;              // backward_weight reads them too
  bool copies = false;
  int prefetch = 0;  // segments, where values are copied
};

class ValueFetch {
 public:
  ValueFetch(const Grid& grid, const ShardId& self, ValueLayout layout);
  bool is_used() const { return !units_.empty(); }

  // verbs: of this shard's actions in the round, in their order; none where they are not known.
  void begin_round(const Stamp& stamp, std::span<const Verb> verbs, Commands& out);
  // Another replica asks.
  void requested(const Contribution& request, Commands& out);
  // An owner has answered; what is complete may have to be copied.
  std::optional<Work> answered(const Contribution& answer, Inbox& inbox);
  void copied(Completion completion);
  // The shard's work has stopped at a gather of values.
  void pause(const Completion& completion, Commands& out);
  // What lets it go on, once.
  std::optional<Work> resume_when_there();

  bool is_paused() const { return paused_; }
  // Where values are read in place and all are there.
  const std::shared_ptr<const ValueTable>& table() const { return table_; }
  std::string describe() const;  // "values 3, use 7"
  // Gathers of the round so far, and those whose values were there when the work came to them.
  int gathers() const { return next_; }
  int hits() const { return hits_; }

 private:
  // One use of one unit, or all uses where values are read in place.
  struct Use {
    int unit = 0;
    int segment_use = 0;
    enum class State { unasked, asked, copying, there } state = State::unasked;
    std::vector<Tensor> parts = {};
  };

  void list_uses(std::span<const Verb> verbs);
  void list_segment(std::size_t segment);
  void ask_through(int segment_use, Commands& out);
  void ask(int number, Commands& out);
  bool is_complete(int number, const Inbox& inbox) const;
  void publish_when_complete();
  Use& at(int number) { return uses_[static_cast<std::size_t>(number)]; }
  const ValueUnit& unit_at(int unit) const { return units_[static_cast<std::size_t>(unit)]; }
  ShardId at_replica(int replica) const;

  Grid grid_;
  ShardId self_;
  ValueLayout layout_;
  std::vector<ValueUnit> units_;  // of all segments
  std::vector<int> first_units_;  // of each segment
  Stamp stamp_;
  std::vector<Use> uses_;  // of the round
  int segment_uses_ = 0;
  int asked_ = 0;  // of uses_
  int next_ = 0;   // ... that the works have come to
  int waiting_ = 0;
  int hits_ = 0;
  bool paused_ = false;
  std::shared_ptr<const ValueTable> table_;
  std::vector<Contribution> early_;  // requests of a round that has not begun here
};

}  // namespace collie
