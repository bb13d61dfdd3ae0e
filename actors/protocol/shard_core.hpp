// The protocol of one shard as a pure state machine: messages and completions in, commands out. No
// clock, no threads, no CAF, no arithmetic. The same core runs in the simulated world, in one
// process and in a cluster.
#pragma once

#include <string>
#include <vector>

#include "actors/protocol/inbox.hpp"
#include "actors/protocol/work.hpp"
#include "actors/schedule/schedule.hpp"
#include "runtime/limits.hpp"

namespace collie {

// A sum (or gather) over a group of shards at the end of a step; performed in the order listed.
struct Exchange {
  Purpose purpose = Purpose::replica_sum;
  std::vector<ShardId> group;
  int rank = 0;  // of this shard in the group
};

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
  bool idle() const { return phase_ == Phase::idle; }
  int credit_left(Link link) const {
    return link == Link::activation ? activation_credit_ : gradient_credit_;
  }

 private:
  enum class Phase {
    idle,            // between rounds
    program,         // walking the program
    preparing,       // config_.exchanges[exchange_]: own contribution is being made
    exchanging,      // ... the others' are awaited
    combining,       // ... and are being combined
    reporting,       // losses and squares are being computed
    awaiting_apply,  // the trainer decides
    optimizing,
    failed,
  };

  std::string describe_wait() const;
  void begin_round(const BeginRound& begin, Commands& out);
  void advance(Commands& out);
  bool can_start(const Action& action) const;
  void start(const Action& action, Commands& out);
  void start_forward(const Action& action, Work& work, Commands& out);
  void start_backward(const Action& action, Work& work, Commands& out);
  void finish_program(Commands& out);
  void start_exchange(Commands& out);
  void share(Purpose purpose, std::uint32_t micro_batch, std::uint32_t sequence,
             const std::vector<ShardId>& group, int rank, const Tensor& tensor, Commands& out);
  bool parts_complete(Purpose purpose, std::uint32_t micro_batch, std::uint32_t sequence,
                      const std::vector<ShardId>& group, int rank) const;
  std::vector<Tensor> take_parts(Purpose purpose, std::uint32_t micro_batch, std::uint32_t sequence,
                                 const std::vector<ShardId>& group, int rank);
  void resume_when_complete(Commands& out);
  void combine_when_complete(Commands& out);
  void pause(const Completion& completion, Commands& out);
  void send_output(const Completion& completion, Commands& out);
  void apply_when_told(Commands& out);
  void issue(Work work, Commands& out);
  void send(const ShardId& to, Message message, Commands& out) const;
  Stamp stamp(std::uint32_t micro_batch) const;
  bool first() const { return config_.self.stage == 0; }
  bool last() const { return config_.self.stage == config_.grid.pp - 1; }
  ShardId neighbour(int stage_offset) const;

  ShardCoreConfig config_;
  std::vector<Action> train_program_;  // config_.program without its STEP
  std::vector<ShardId> tensor_group_;
  Inbox inbox_;
  Phase phase_ = Phase::idle;
  std::uint32_t round_ = 0;
  Mode mode_ = Mode::train;
  std::vector<Action> program_;
  std::size_t cursor_ = 0;
  int in_flight_ = 0;
  std::uint64_t works_completed_ = 0;
  int activation_credit_ = 0;  // what this shard may still send to the next stage
  int gradient_credit_ = 0;    // ... and to the stage before
  // The reduction at which the current work is paused.
  bool paused_ = false;
  Purpose paused_purpose_ = Purpose::forward;
  std::uint32_t paused_micro_batch_ = 0;
  std::uint32_t reduction_sequence_ = 0;
  Tensor own_part_;
  std::size_t exchange_ = 0;
};

}  // namespace collie
