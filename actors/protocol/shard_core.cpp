#include "actors/protocol/shard_core.hpp"

namespace collie {

namespace {

bool sends_gradient(WorkKind kind) {
  return kind == WorkKind::backward || kind == WorkKind::backward_input;
}

// The programs of training without their STEP: what a step ends with is the core's own business.
std::vector<Action> compute_actions(const std::vector<Action>& program) {
  std::vector<Action> actions;
  for (const Action& action : program) {
    if (action.verb != Verb::step) actions.push_back(action);
  }
  return actions;
}

std::uint32_t unsigned_of(int value) {
  return static_cast<std::uint32_t>(value);
}

Work make_work(WorkKind kind, const Stamp& stamp) {
  Work work;
  work.kind = kind;
  work.stamp = stamp;
  return work;
}

}  // namespace

ShardCore::ShardCore(ShardCoreConfig config)
    : config_(std::move(config)),
      train_program_(compute_actions(config_.program)),
      tensor_group_(tensor_group(config_.grid, config_.self)),
      inbox_(config_.run, config_.generation),
      activation_credit_(config_.credit),
      gradient_credit_(config_.credit) {
  COLLIE_CHECK(config_.depth == 1 || config_.grid.tp == 1, "work that may pause is issued alone");
  COLLIE_CHECK(config_.depth <= limits::stream_depth_max, "depth {}", config_.depth);
}

Stamp ShardCore::stamp(std::uint32_t micro_batch) const {
  return {config_.run, config_.generation, round_, micro_batch};
}

ShardId ShardCore::neighbour(int stage_offset) const {
  ShardId shard = config_.self;
  shard.stage += stage_offset;
  return shard;
}

void ShardCore::send(const ShardId& to, Message message, Commands& out) const {
  out.emplace_back(Send{shard_address(to), std::move(message)});
}

void ShardCore::issue(Work work, Commands& out) {
  ++in_flight_;
  work.mode = mode_;
  out.emplace_back(std::move(work));
}

void ShardCore::receive(Message message, Commands& out) {
  if (phase_ == Phase::failed) return;
  const Stamp& arrived = stamp_of(message);
  if (arrived.run != config_.run || arrived.generation != config_.generation) {
    inbox_.accept(std::move(message));  // counts it as stale
    return;
  }
  if (const auto* begin = std::get_if<BeginRound>(&message)) {
    if (begin->stamp.round > round_) begin_round(*begin, out);
    return;
  }
  if (const auto* credit = std::get_if<Credit>(&message)) {
    // Credits outlive rounds; a repeated one is told by its key.
    const Link link = credit->link;
    const InboxKey key = key_of(message);
    if (inbox_.accept(std::move(message)) != Inbox::Verdict::accepted) return;
    inbox_.take(key);
    ++(link == Link::activation ? activation_credit_ : gradient_credit_);
  } else if (inbox_.accept(std::move(message)) != Inbox::Verdict::accepted) {
    return;
  }
  resume_when_complete(out);
  combine_when_complete(out);
  apply_when_told(out);
  advance(out);
}

void ShardCore::begin_round(const BeginRound& begin, Commands& out) {
  // A round whose update the trainer refused (a loss that is not finite) ends here, unapplied.
  COLLIE_CHECK(phase_ == Phase::idle || phase_ == Phase::awaiting_apply,
               "round {} began before round {} ended", begin.stamp.round, round_);
  round_ = begin.stamp.round;
  mode_ = begin.mode;
  inbox_.begin_round(round_);
  phase_ = Phase::program;
  cursor_ = 0;
  exchange_ = 0;
  if (mode_ == Mode::train) {
    program_ = train_program_;
  } else {
    program_.clear();
    for (int mb = 0; mb < begin.micro_batches; ++mb) {
      program_.push_back({Verb::forward, config_.self.stage, mb});
    }
  }
  // All messages of the round before were consumed when it ended, so every link is empty.
  activation_credit_ = config_.credit;
  gradient_credit_ = config_.credit;
  issue(make_work(WorkKind::begin_round, stamp(0)), out);
  advance(out);
}

void ShardCore::advance(Commands& out) {
  if (phase_ != Phase::program) return;
  if (paused_) return;
  while (cursor_ < program_.size() && in_flight_ < config_.depth && can_start(program_[cursor_])) {
    start(program_[cursor_], out);
    ++cursor_;
  }
  if (cursor_ == program_.size() && in_flight_ == 0) finish_program(out);
}

bool ShardCore::can_start(const Action& action) const {
  const std::uint32_t mb = unsigned_of(action.micro_batch);
  switch (action.verb) {
    case Verb::forward:
      return inbox_.has(tokens_key(round_, mb)) &&
             (first() || inbox_.has(activation_key(round_, mb))) &&
             (last() || activation_credit_ > 0);
    case Verb::backward:
    case Verb::backward_input:
      return (last() || inbox_.has(gradient_key(round_, mb))) && (first() || gradient_credit_ > 0);
    default:
      return true;
  }
}

void ShardCore::start(const Action& action, Commands& out) {
  Work work = make_work(WorkKind::backward_weight, stamp(unsigned_of(action.micro_batch)));
  reduction_sequence_ = 0;
  if (action.verb == Verb::forward) {
    start_forward(action, work, out);
  } else if (action.verb != Verb::backward_weight) {
    start_backward(action, work, out);
  }
  issue(std::move(work), out);
}

void ShardCore::start_forward(const Action& action, Work& work, Commands& out) {
  const std::uint32_t mb = unsigned_of(action.micro_batch);
  work.kind = WorkKind::forward;
  work.batch = std::get<Tokens>(inbox_.take(tokens_key(round_, mb))).batch;
  if (!first()) {
    work.tensor = std::get<Activation>(inbox_.take(activation_key(round_, mb))).tensor_td;
    send(neighbour(-1), Credit{stamp(mb), Link::activation}, out);
  }
  if (!last()) --activation_credit_;
}

void ShardCore::start_backward(const Action& action, Work& work, Commands& out) {
  const std::uint32_t mb = unsigned_of(action.micro_batch);
  work.kind = action.verb == Verb::backward ? WorkKind::backward : WorkKind::backward_input;
  if (!last()) {
    work.tensor = std::get<Gradient>(inbox_.take(gradient_key(round_, mb))).tensor_td;
    send(neighbour(+1), Credit{stamp(mb), Link::gradient}, out);
  }
  if (!first()) --gradient_credit_;
}

void ShardCore::completed(Completion completion, Commands& out) {
  if (phase_ == Phase::failed) return;
  --in_flight_;
  ++works_completed_;
  if (completion.error) {
    phase_ = Phase::failed;
    out.emplace_back(Send{Address{Role::trainer, {}}, Failed{stamp(0), shard_address(config_.self),
                                                             std::move(*completion.error)}});
    return;
  }
  if (completion.paused) {
    pause(completion, out);
    return;
  }
  switch (phase_) {
    case Phase::program:
      send_output(completion, out);
      break;
    case Phase::preparing: {
      const Exchange& exchange = config_.exchanges[exchange_];
      phase_ = Phase::exchanging;
      own_part_ = completion.tensor;
      share(exchange.purpose, 0, 0, exchange.group, exchange.rank, own_part_, out);
      combine_when_complete(out);
      break;
    }
    case Phase::combining:
      ++exchange_;
      start_exchange(out);
      break;
    case Phase::reporting:
      completion.report.stamp = stamp(0);
      completion.report.from = config_.self;
      phase_ = mode_ == Mode::train ? Phase::awaiting_apply : Phase::idle;
      out.emplace_back(Send{Address{Role::trainer, {}}, std::move(completion.report)});
      apply_when_told(out);
      break;
    case Phase::optimizing:
      completion.done.stamp = stamp(0);
      completion.done.from = config_.self;
      phase_ = Phase::idle;
      out.emplace_back(Send{Address{Role::trainer, {}}, std::move(completion.done)});
      break;
    default:
      COLLIE_CHECK(false, "completion in no phase that has work");
  }
  advance(out);
}

// The stream's output of one action goes to the neighbour as soon as it exists.
void ShardCore::send_output(const Completion& completion, Commands& out) {
  if (completion.kind == WorkKind::forward && !last()) {
    send(neighbour(+1), Activation{completion.stamp, completion.tensor}, out);
  }
  if (sends_gradient(completion.kind) && !first()) {
    send(neighbour(-1), Gradient{completion.stamp, completion.tensor}, out);
  }
}

void ShardCore::pause(const Completion& completion, Commands& out) {
  paused_ = true;
  paused_purpose_ = completion.kind == WorkKind::forward ? Purpose::forward : Purpose::backward;
  paused_micro_batch_ = completion.stamp.micro_batch;
  own_part_ = completion.tensor;
  share(paused_purpose_, paused_micro_batch_, reduction_sequence_, tensor_group_,
        config_.self.tensor, own_part_, out);
  resume_when_complete(out);
}

void ShardCore::share(Purpose purpose, std::uint32_t micro_batch, std::uint32_t sequence,
                      const std::vector<ShardId>& group, int rank, const Tensor& tensor,
                      Commands& out) {
  for (int other = 0; other < static_cast<int>(group.size()); ++other) {
    if (other == rank) continue;
    send(group[static_cast<std::size_t>(other)],
         Contribution{stamp(micro_batch), purpose, sequence, rank, tensor}, out);
  }
}

bool ShardCore::parts_complete(Purpose purpose, std::uint32_t micro_batch, std::uint32_t sequence,
                               const std::vector<ShardId>& group, int rank) const {
  for (int other = 0; other < static_cast<int>(group.size()); ++other) {
    if (other != rank &&
        !inbox_.has(contribution_key(round_, micro_batch, purpose, sequence, other))) {
      return false;
    }
  }
  return true;
}

std::vector<Tensor> ShardCore::take_parts(Purpose purpose, std::uint32_t micro_batch,
                                          std::uint32_t sequence, const std::vector<ShardId>& group,
                                          int rank) {
  std::vector<Tensor> parts;
  for (int other = 0; other < static_cast<int>(group.size()); ++other) {
    if (other == rank) {
      parts.push_back(own_part_);
      continue;
    }
    const InboxKey key = contribution_key(round_, micro_batch, purpose, sequence, other);
    parts.push_back(std::get<Contribution>(inbox_.take(key)).tensor);
  }
  own_part_.reset();
  return parts;
}

void ShardCore::resume_when_complete(Commands& out) {
  if (!paused_ || !parts_complete(paused_purpose_, paused_micro_batch_, reduction_sequence_,
                                  tensor_group_, config_.self.tensor)) {
    return;
  }
  Work work = make_work(WorkKind::resume, stamp(paused_micro_batch_));
  work.purpose = paused_purpose_;
  work.parts = take_parts(paused_purpose_, paused_micro_batch_, reduction_sequence_, tensor_group_,
                          config_.self.tensor);
  ++reduction_sequence_;
  paused_ = false;
  issue(std::move(work), out);
}

void ShardCore::finish_program(Commands& out) {
  exchange_ = 0;
  if (mode_ == Mode::train) {
    start_exchange(out);
    return;
  }
  phase_ = Phase::reporting;
  issue(make_work(WorkKind::report, stamp(0)), out);
}

void ShardCore::start_exchange(Commands& out) {
  const bool finished = exchange_ == config_.exchanges.size();
  phase_ = finished ? Phase::reporting : Phase::preparing;
  Work work = make_work(finished ? WorkKind::report : WorkKind::prepare, stamp(0));
  if (!finished) work.purpose = config_.exchanges[exchange_].purpose;
  issue(std::move(work), out);
}

void ShardCore::combine_when_complete(Commands& out) {
  if (phase_ != Phase::exchanging) return;
  const Exchange& exchange = config_.exchanges[exchange_];
  if (!parts_complete(exchange.purpose, 0, 0, exchange.group, exchange.rank)) return;
  phase_ = Phase::combining;
  Work work = make_work(WorkKind::combine, stamp(0));
  work.purpose = exchange.purpose;
  work.parts = take_parts(exchange.purpose, 0, 0, exchange.group, exchange.rank);
  issue(std::move(work), out);
}

void ShardCore::apply_when_told(Commands& out) {
  Apply wanted;
  wanted.stamp = stamp(0);
  const InboxKey key = key_of(wanted);
  if (phase_ != Phase::awaiting_apply || !inbox_.has(key)) return;
  phase_ = Phase::optimizing;
  Work work = make_work(WorkKind::optimize, stamp(0));
  work.apply = std::get<Apply>(inbox_.take(key));
  issue(std::move(work), out);
}

std::string ShardCore::describe() const {
  return fmt::format("{} after {} works", describe_wait(), works_completed_);
}

std::string ShardCore::describe_wait() const {
  const std::string who = to_string(config_.self);
  if (paused_) {
    return fmt::format("{} waits for the other shards' part of reduction {} of micro-batch {}", who,
                       reduction_sequence_, paused_micro_batch_);
  }
  switch (phase_) {
    case Phase::idle:
      return fmt::format("{} is idle after round {}", who, round_);
    case Phase::program:
      if (in_flight_ > 0) return fmt::format("{} is computing", who);
      return fmt::format("{} waits to start {} (activation credit {}, gradient credit {})", who,
                         to_string(program_[cursor_]), activation_credit_, gradient_credit_);
    case Phase::exchanging:
      return fmt::format("{} waits for its group's gradients", who);
    case Phase::awaiting_apply:
      return fmt::format("{} waits for the trainer", who);
    case Phase::failed:
      return fmt::format("{} has failed", who);
    default:
      return fmt::format("{} is at the end of its step", who);
  }
}

}  // namespace collie
