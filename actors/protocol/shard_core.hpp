// The protocol of one shard as a pure state machine: messages and completions in, commands out. No
// clock, no threads, no CAF, no arithmetic. The same core runs in the simulated world, in one
// process and in a cluster.
#pragma once

#include <string>
#include <vector>

#include "actors/protocol/group_exchange.hpp"
#include "actors/protocol/program_cursor.hpp"
#include "actors/protocol/round_end.hpp"
#include "runtime/limits.hpp"

namespace collie {

struct ShardCoreConfig {
  std::uint64_t run = 0;
  std::uint32_t generation = 0;
  Grid grid;
  ShardId self;
  std::vector<Action> program;  // this rank's, for training
  int credit = limits::link_credit_default;
  // How many works may be on the stream at once. Work that may pause at a reduction is issued
  // alone, so this is 1 as soon as a stage has more than one shard.
  int depth = 1;
  std::vector<Exchange> exchanges;  // at the end of a training step
};

class ShardCore {
 public:
  explicit ShardCore(ShardCoreConfig config);

  void receive(Message message, Commands& out);
  void completed(Completion completion, Commands& out);

  // One line for a stuck run: what this shard waits for. Changes whenever it gets on.
  std::string describe() const;
  const Inbox& inbox() const { return inbox_; }
  bool idle() const { return phase_ == Phase::ending && end_.is_over(); }
  int credit_left(Link link) const { return cursor_.credit_left(link); }

 private:
  enum class Phase {
    program,  // walking the program
    ending,   // ... it is done: see RoundEnd, which is over between rounds
    failed,
  };

  void begin_round(const BeginRound& begin, Commands& out);
  void advance(Commands& out);
  void start(const Action& action, Commands& out);
  Work forward_work(const Action& action, Commands& out);
  Work backward_work(const Action& action, Commands& out);
  void send_output(const Completion& completion, Commands& out) const;
  void fail(Error error, Commands& out);
  void issue(std::optional<Work> work, Commands& out);
  void send_to_stage(int offset, Message message, Commands& out) const;
  Stamp stamp(int micro_batch) const;
  std::string describe_wait() const;

  ShardCoreConfig config_;
  Inbox inbox_;
  ProgramCursor cursor_;
  PausedReduction reduction_;
  RoundEnd end_;
  Phase phase_ = Phase::ending;
  std::uint32_t round_ = 0;
  Mode mode_ = Mode::train;
  int in_flight_ = 0;
  std::uint64_t works_completed_ = 0;
};

}  // namespace collie
