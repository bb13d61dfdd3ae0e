#include "actors/protocol/shard_core.hpp"

namespace collie {

namespace {

bool hands_gradient_on(WorkKind kind) {
  return kind == WorkKind::backward || kind == WorkKind::backward_input;
}

}  // namespace

ShardCore::ShardCore(ShardCoreConfig config)
    : config_(std::move(config)),
      inbox_(config_.run, config_.generation),
      cursor_({config_.grid.pp, config_.self.stage}, config_.program, config_.credit),
      reduction_(tensor_group(config_.grid, config_.self), config_.self.tensor),
      end_(config_.self, config_.exchanges) {
  COLLIE_CHECK(config_.depth == 1 || config_.grid.tp == 1, "work that may pause is issued alone");
  COLLIE_CHECK(config_.depth <= limits::stream_depth_max, "depth {}", config_.depth);
}

Stamp ShardCore::stamp(int micro_batch) const {
  return {config_.run, config_.generation, round_, static_cast<std::uint32_t>(micro_batch)};
}

void ShardCore::send_to_stage(int offset, Message message, Commands& out) const {
  ShardId neighbour = config_.self;
  neighbour.stage += offset;
  out.emplace_back(Send{shard_address(neighbour), std::move(message)});
}

void ShardCore::issue(std::optional<Work> work, Commands& out) {
  if (!work) return;
  ++in_flight_;
  work->mode = mode_;
  out.emplace_back(std::move(*work));
}

void ShardCore::receive(Message message, Commands& out) {
  if (phase_ == Phase::failed) return;
  if (const auto* begin = std::get_if<BeginRound>(&message); begin && inbox_.is_of_run(message)) {
    if (begin->stamp.round > round_) begin_round(*begin, out);
    return;
  }
  const InboxKey key = key_of(message);
  const auto* credit = std::get_if<Credit>(&message);
  const std::optional<Link> credited = credit ? std::optional(credit->link) : std::nullopt;
  if (inbox_.accept(std::move(message)) != Inbox::Verdict::accepted) return;
  if (credited) {
    // The inbox has told a repeated credit by its key; this one has done its duty.
    inbox_.take(key);
    cursor_.give_credit(*credited);
  }
  issue(reduction_.resume_when_complete(inbox_), out);
  issue(end_.message_arrived(inbox_), out);
  advance(out);
}

void ShardCore::begin_round(const BeginRound& begin, Commands& out) {
  // A round whose update the trainer refused (a loss that is not finite) ends here, unapplied.
  COLLIE_CHECK(phase_ == Phase::ending && (end_.is_over() || end_.awaits_trainer()),
               "round {} began before round {} ended", begin.stamp.round, round_);
  round_ = begin.stamp.round;
  mode_ = begin.mode;
  phase_ = Phase::program;
  inbox_.begin_round(round_);
  cursor_.begin_round(mode_, round_, begin.micro_batches);
  end_.abandon();
  Work work;
  work.kind = WorkKind::begin_round;
  work.stamp = stamp(0);
  issue(std::move(work), out);
  advance(out);
}

void ShardCore::advance(Commands& out) {
  if (phase_ != Phase::program || reduction_.is_paused()) return;
  while (in_flight_ < config_.depth) {
    const std::optional<Action> action = cursor_.startable(inbox_);
    if (!action) break;
    start(*action, out);
  }
  if (!cursor_.finished() || in_flight_ > 0) return;
  phase_ = Phase::ending;
  issue(end_.begin(mode_, stamp(0)), out);
}

void ShardCore::start(const Action& action, Commands& out) {
  Work work;
  switch (action.verb) {
    case Verb::forward:
      work = forward_work(action, out);
      break;
    case Verb::backward:
    case Verb::backward_input:
      work = backward_work(action, out);
      break;
    case Verb::backward_weight:
      work.kind = WorkKind::backward_weight;
      break;
    default:
      COLLIE_CHECK(false, "{} is not walked", to_string(action));
  }
  work.stamp = stamp(action.micro_batch);
  cursor_.started(action);
  reduction_.work_started();
  issue(std::move(work), out);
}

Work ShardCore::forward_work(const Action& action, Commands& out) {
  const Stamp at = stamp(action.micro_batch);
  Work work;
  work.kind = WorkKind::forward;
  work.batch = std::get<Tokens>(inbox_.take(tokens_key(at.round, at.micro_batch))).batch;
  if (cursor_.takes_activation(action)) {
    Message input = inbox_.take(activation_key(at.round, at.micro_batch));
    work.tensor = std::move(std::get<Activation>(input).tensor_td);
    send_to_stage(-1, Credit{at, Link::activation}, out);
  }
  return work;
}

Work ShardCore::backward_work(const Action& action, Commands& out) {
  const Stamp at = stamp(action.micro_batch);
  Work work;
  work.kind = action.verb == Verb::backward ? WorkKind::backward : WorkKind::backward_input;
  if (cursor_.takes_gradient(action)) {
    Message input = inbox_.take(gradient_key(at.round, at.micro_batch));
    work.tensor = std::move(std::get<Gradient>(input).tensor_td);
    send_to_stage(+1, Credit{at, Link::gradient}, out);
  }
  return work;
}

void ShardCore::completed(Completion completion, Commands& out) {
  if (phase_ == Phase::failed) return;
  --in_flight_;
  ++works_completed_;
  if (completion.error) {
    fail(std::move(*completion.error), out);
  } else if (completion.paused) {
    reduction_.pause(completion, out);
    issue(reduction_.resume_when_complete(inbox_), out);
  } else if (phase_ == Phase::program) {
    send_output(completion, out);
    advance(out);
  } else {
    issue(end_.completed(std::move(completion), inbox_, out), out);
  }
}

// The stream's output of one action goes to the neighbour as soon as it exists.
void ShardCore::send_output(const Completion& completion, Commands& out) const {
  const bool first = config_.self.stage == 0;
  const bool last = config_.self.stage == config_.grid.pp - 1;
  if (completion.kind == WorkKind::forward && !last) {
    send_to_stage(+1, Activation{completion.stamp, completion.tensor}, out);
  }
  if (hands_gradient_on(completion.kind) && !first) {
    send_to_stage(-1, Gradient{completion.stamp, completion.tensor}, out);
  }
}

void ShardCore::fail(Error error, Commands& out) {
  phase_ = Phase::failed;
  out.emplace_back(Send{Address{Role::trainer, {}},
                        Failed{stamp(0), shard_address(config_.self), std::move(error)}});
}

std::string ShardCore::describe() const {
  return fmt::format("{} {} after {} works", to_string(config_.self), describe_wait(),
                     works_completed_);
}

std::string ShardCore::describe_wait() const {
  if (phase_ == Phase::failed) return "has failed";
  if (idle()) return fmt::format("is idle after round {}", round_);
  if (phase_ == Phase::ending) return std::string(end_.describe());
  if (reduction_.is_paused()) {
    return fmt::format("waits for the other shards' part of {}", reduction_.describe());
  }
  if (in_flight_ > 0) return "is computing";
  return fmt::format("waits to start {}", cursor_.describe());
}

}  // namespace collie
