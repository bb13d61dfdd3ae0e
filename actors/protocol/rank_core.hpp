// The protocol of one rank of the pipeline as a pure state machine: messages and completions in,
// commands out. A rank has one stream and one program, and hosts the shards (stages of a replica)
// that its program names: one with a linear placement, several with looped, V or bidirectional
// ones. No clock, no threads, no CAF, no arithmetic. The same core runs in the simulated world, in
// one process and in a cluster.
#pragma once

#include <string>
#include <vector>

#include "actors/protocol/fence_gate.hpp"
#include "actors/protocol/generation_core.hpp"
#include "actors/protocol/group_exchange.hpp"
#include "actors/protocol/post_validation.hpp"
#include "actors/protocol/program_cursor.hpp"
#include "actors/protocol/rank_meter.hpp"
#include "actors/protocol/round_end.hpp"
#include "actors/protocol/round_order.hpp"
#include "actors/protocol/trace_recorder.hpp"
#include "actors/protocol/value_fetch.hpp"
#include "runtime/limits.hpp"

namespace collie {

struct HostedShard {
  ShardId id;
  HostedStage stage;
  std::vector<Exchange> exchanges;  // at the end of a training step
  ValueLayout values = {};          // with ZeRO-3
};

struct RankCoreConfig {
  std::uint64_t run = 0;
  std::uint32_t generation = 0;
  Grid grid;
  int ranks = 1;  // of the pipeline
  std::vector<HostedShard> hosted;
  std::vector<Action> program;  // for training; micro-batches numbered from 0 in each direction
  Policy policy;                // if it decides, the program is not an order
  int slices = 1;               // units of the program that a micro-batch is
  int credit = limits::link_credit_default;
  // How many works may be on the stream at once. Work that may pause at a reduction is issued
  // alone, so this is 1 as soon as a stage has more than one shard, or replicas reduce in the
  // program: see ModelExecutor::pauses_in_program().
  int depth = 1;
  // The first hosted shard of each rank of the pipeline, where its programs have FENCEs.
  Exchange fence;
  // Of an asynchronous program, one for each action; else empty, and STEP is not walked.
  std::vector<VersionUse> version_uses;
  NormChain norms;  // of post-validation
  // ZeRO-3 where values are copied: a program says beforehand when, generation does not, so its
  // forwards meet those of the other replicas.
  bool replicas_wait = false;
  bool is_asynchronous() const { return !version_uses.empty(); }
};

class RankCore {
 public:
  explicit RankCore(RankCoreConfig config);

  // to: the hosted shard that the message was sent to.
  void receive(const ShardId& to, Message message, Commands& out);
  void completed(Completion completion, Commands& out);

  // One line for a stuck run: what this rank waits for. Changes whenever it gets on.
  std::string describe() const;
  const Inbox& inbox(std::size_t hosted = 0) const { return inboxes_[hosted]; }
  const ValueFetch& values(std::size_t hosted = 0) const { return fetches_[hosted]; }
  bool idle() const;
  int credit_left(Link link, std::size_t hosted = 0) const {
    return cursor_.credit_left(hosted, link);
  }

 private:
  enum class Phase {
    program,  // walking the program
    ending,   // ... it is done: see RoundEnd, which is over between rounds
    failed,
  };

  std::size_t index_of_hosted(const ShardId& shard) const;
  // How rounds begin, end and, with post-validation, overlap: rank_rounds.cpp.
  void begin_next_round(Commands& out);
  void begin_round(const BeginRound& begin, Commands& out);
  bool has_ended() const;
  bool reads_alone(const Action& action) const;
  void end_completed(Completion completion, std::size_t hosted, Commands& out);
  void update_early(Commands& out);
  void give_up(std::uint32_t round);
  void advance(Commands& out);
  void fetch_values(std::size_t hosted, Commands& out);
  bool take_values(std::size_t hosted, const Contribution& part, Commands& out);
  void paused(const Completion& completion, std::size_t hosted, Commands& out);
  std::size_t waiting_messages() const;
  void end_program(Commands& out);
  // How a round of Mode::generate goes: rank_generation.cpp.
  bool meets_replicas() const { return mode_ == Mode::generate && config_.replicas_wait; }
  void begin_generation();
  std::optional<std::size_t> next_to_generate();
  void advance_generation(Commands& out);
  void tell_sampled(const Completion& completion, std::size_t hosted, Commands& out) const;
  void report_generated(std::size_t hosted, RoundReport& report);
  bool is_paused() const;
  bool may_start(const Action& action, Commands& out);
  void start(const Action& action, Commands& out);
  void set_versions(std::size_t hosted, Work& work) const;
  Work forward_work(const Action& action, Commands& out);
  Work backward_work(const Action& action, Commands& out);
  Work update_work(std::size_t hosted);
  void count_weights(std::size_t hosted, Work& work);
  void send_output(const Completion& completion, std::size_t hosted, Commands& out) const;
  void fail(const ShardId& from, Error error, Commands& out);
  void issue(std::size_t hosted, std::optional<Work> work, Commands& out);
  void send_to_stage(std::size_t hosted, int offset, Message message, Commands& out) const;
  Stamp stamp(int micro_batch) const;
  std::string describe_wait() const;

  RankCoreConfig config_;
  ProgramCursor cursor_;
  FenceGate fence_;
  // Of each hosted shard.
  std::vector<Inbox> inboxes_;
  std::vector<PausedReduction> reductions_;
  std::vector<ValueFetch> fetches_;
  std::vector<RoundEnd> ends_;
  std::vector<GenerationCore> generations_;
  std::vector<bool> has_generated_;
  std::vector<std::int64_t> updates_per_round_;
  std::vector<std::int64_t> updates_;  // that this round's program has issued
  // Weight gradients: those of a round, and those that this round's program has not issued yet.
  std::vector<std::int64_t> weights_per_round_, weights_left_;

  Phase phase_ = Phase::ending;
  std::uint32_t round_ = 0;
  // With post-validation the ends may still be of the round before, whose update is not validated.
  std::uint32_t round_before_ = 0;
  RoundOrder order_;
  PostValidation validation_;
  int rollbacks_ = 0;  // of the run
  BeginRound begin_;
  Mode mode_ = Mode::train;
  int in_flight_ = 0;
  std::uint64_t works_completed_ = 0;
  TraceRecorder trace_;
  RankMeter meter_;
};

}  // namespace collie
