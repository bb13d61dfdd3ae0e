#include "actors/protocol/rank_core.hpp"

#include <algorithm>

namespace collie {

namespace {

bool hands_gradient_on(WorkKind kind) {
  return kind == WorkKind::backward || kind == WorkKind::backward_input;
}

std::vector<HostedStage> stages_of(const std::vector<HostedShard>& hosted) {
  std::vector<HostedStage> stages;
  for (const HostedShard& shard : hosted) stages.push_back(shard.stage);
  return stages;
}

}  // namespace

RankCore::RankCore(RankCoreConfig config)
    : config_(std::move(config)),
      cursor_(stages_of(config_.hosted), config_.ranks, config_.program, config_.credit,
              config_.is_asynchronous(), config_.policy),
      updates_per_round_(std::ranges::count(config_.program, Verb::step, &Action::verb)) {
  COLLIE_CHECK(!config_.is_asynchronous() || config_.hosted.size() == 1,
               "an asynchronous program names one stage");
  COLLIE_CHECK(!config_.hosted.empty(), "a rank hosts at least one shard");
  COLLIE_CHECK(config_.depth == 1 || config_.grid.tp == 1, "work that may pause is issued alone");
  COLLIE_CHECK(config_.depth <= limits::stream_depth_max, "depth {}", config_.depth);
  for (const HostedShard& shard : config_.hosted) {
    inboxes_.emplace_back(config_.run, config_.generation);
    reductions_.emplace_back(tensor_group(config_.grid, shard.id), shard.id.tensor);
    ends_.emplace_back(shard.id, shard.exchanges, !config_.is_asynchronous());
  }
}

std::size_t RankCore::index_of_hosted(const ShardId& shard) const {
  const auto found = std::ranges::find(config_.hosted, shard, &HostedShard::id);
  COLLIE_CHECK(found != config_.hosted.end(), "{} is not hosted here", to_string(shard));
  return static_cast<std::size_t>(found - config_.hosted.begin());
}

Stamp RankCore::stamp(int micro_batch) const {
  return {config_.run, config_.generation, round_, static_cast<std::uint32_t>(micro_batch)};
}

void RankCore::send_to_stage(std::size_t hosted, int offset, Message message, Commands& out) const {
  ShardId neighbour = config_.hosted[hosted].id;
  neighbour.stage += offset;
  out.emplace_back(Send{shard_address(neighbour), std::move(message)});
}

void RankCore::issue(std::size_t hosted, std::optional<Work> work, Commands& out) {
  if (!work) return;
  ++in_flight_;
  work->mode = mode_;
  work->shard = config_.hosted[hosted].id;
  out.emplace_back(std::move(*work));
}

void RankCore::receive(const ShardId& to, Message message, Commands& out) {
  if (phase_ == Phase::failed) return;
  const std::size_t hosted = index_of_hosted(to);
  Inbox& inbox = inboxes_[hosted];
  if (const auto* begin = std::get_if<BeginRound>(&message); begin && inbox.is_of_run(message)) {
    // Every hosted shard is told; the first time counts.
    if (begin->stamp.round > round_) begin_round(*begin, out);
    return;
  }
  const InboxKey key = key_of(message);
  const auto* credit = std::get_if<Credit>(&message);
  const std::optional<Link> credited = credit ? std::optional(credit->link) : std::nullopt;
  if (inbox.accept(std::move(message)) != Inbox::Verdict::accepted) return;
  if (credited) {
    // The inbox has told a repeated credit by its key; this one has done its duty.
    inbox.take(key);
    cursor_.give_credit(hosted, *credited);
  }
  issue(hosted, reductions_[hosted].resume_when_complete(inbox), out);
  issue(hosted, ends_[hosted].message_arrived(inbox), out);
  advance(out);
}

void RankCore::begin_round(const BeginRound& begin, Commands& out) {
  // A round whose update the trainer refused (a loss that is not finite) ends here, unapplied.
  COLLIE_CHECK(
      phase_ == Phase::ending &&
          std::ranges::all_of(
              ends_, [](const RoundEnd& end) { return end.is_over() || end.awaits_trainer(); }),
      "round {} began before round {} ended", begin.stamp.round, round_);
  round_ = begin.stamp.round;
  mode_ = begin.mode;
  begin_ = begin;
  updates_ = 0;
  trace_.begin_round(begin.want_trace, inboxes_.size());
  phase_ = Phase::program;
  cursor_.begin_round(mode_, round_, begin.micro_batches);
  for (std::size_t hosted = 0; hosted < inboxes_.size(); ++hosted) {
    inboxes_[hosted].begin_round(round_);
    ends_[hosted].abandon();
    Work work;
    work.kind = WorkKind::begin_round;
    work.stamp = stamp(0);
    issue(hosted, std::move(work), out);
  }
  advance(out);
}

bool RankCore::is_paused() const {
  return std::ranges::any_of(reductions_, &PausedReduction::is_paused);
}

void RankCore::advance(Commands& out) {
  if (phase_ != Phase::program || is_paused()) return;
  while (in_flight_ < config_.depth) {
    const std::optional<Action> action = cursor_.startable(inboxes_);
    if (!action) break;
    start(*action, out);
  }
  if (!cursor_.finished() || in_flight_ > 0) return;
  phase_ = Phase::ending;
  for (std::size_t hosted = 0; hosted < ends_.size(); ++hosted) {
    issue(hosted, ends_[hosted].begin(mode_, stamp(0)), out);
  }
}

void RankCore::start(const Action& action, Commands& out) {
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
    case Verb::step:
      work = update_work();
      break;
    default:
      COLLIE_CHECK(false, "{} is not walked", to_string(action));
  }
  work.stamp = stamp(action.micro_batch);
  if (config_.is_asynchronous() && mode_ == Mode::train) {
    work.version = config_.version_uses[cursor_.position()];
    // For corrections of delay: of an update its own number, of other work those before.
    work.apply.optimizer_step = begin_.step * updates_per_round_ + updates_;
    work.apply.learning_rate = begin_.learning_rate;
  }
  const std::size_t hosted = cursor_.hosted_index(action);
  cursor_.started(action);
  reductions_[hosted].work_started();
  issue(hosted, std::move(work), out);
}

Work RankCore::forward_work(const Action& action, Commands& out) {
  const Stamp at = stamp(action.micro_batch);
  const std::size_t hosted = cursor_.hosted_index(action);
  Inbox& inbox = inboxes_[hosted];
  Work work;
  work.kind = WorkKind::forward;
  work.batch = std::get<Tokens>(inbox.take(tokens_key(at.round, at.micro_batch))).batch;
  if (cursor_.takes_activation(action)) {
    Message input = inbox.take(activation_key(at.round, at.micro_batch));
    work.tensor = std::move(std::get<Activation>(input).tensor_td);
    if (!cursor_.hosted(hosted).previous_is_here) {
      send_to_stage(hosted, -1, Credit{at, Link::activation}, out);
    }
  }
  return work;
}

Work RankCore::backward_work(const Action& action, Commands& out) {
  const Stamp at = stamp(action.micro_batch);
  const std::size_t hosted = cursor_.hosted_index(action);
  Work work;
  work.kind = action.verb == Verb::backward ? WorkKind::backward : WorkKind::backward_input;
  if (cursor_.takes_gradient(action)) {
    Message input = inboxes_[hosted].take(gradient_key(at.round, at.micro_batch));
    work.tensor = std::move(std::get<Gradient>(input).tensor_td);
    if (!cursor_.hosted(hosted).next_is_here) {
      send_to_stage(hosted, +1, Credit{at, Link::gradient}, out);
    }
  }
  return work;
}

Work RankCore::update_work() {
  ++updates_;
  Work work;
  work.kind = WorkKind::update;
  work.clip_norm = begin_.clip_norm;
  return work;
}

void RankCore::completed(Completion completion, Commands& out) {
  if (phase_ == Phase::failed) return;
  const std::size_t hosted = index_of_hosted(completion.shard);
  --in_flight_;
  ++works_completed_;
  trace_.completed(completion, hosted, cursor_.hosted(hosted), config_.is_asynchronous());
  if (completion.error) {
    fail(completion.shard, std::move(*completion.error), out);
  } else if (completion.paused) {
    reductions_[hosted].pause(completion, out);
    issue(hosted, reductions_[hosted].resume_when_complete(inboxes_[hosted]), out);
  } else if (phase_ == Phase::program) {
    send_output(completion, hosted, out);
    advance(out);
  } else {
    if (completion.kind == WorkKind::optimize) {
      completion.done.trace = trace_.take(hosted);
    }
    issue(hosted, ends_[hosted].completed(std::move(completion), inboxes_[hosted], out), out);
  }
}

// The stream's output of one action goes to the neighbour as soon as it exists; one on the same
// rank gets it as a message too.
void RankCore::send_output(const Completion& completion, std::size_t hosted, Commands& out) const {
  const HostedStage& stage = config_.hosted[hosted].stage;
  if (completion.kind == WorkKind::forward && !stage.is_last) {
    send_to_stage(hosted, +1, Activation{completion.stamp, completion.tensor}, out);
  }
  if (hands_gradient_on(completion.kind) && !stage.is_first) {
    send_to_stage(hosted, -1, Gradient{completion.stamp, completion.tensor}, out);
  }
}

void RankCore::fail(const ShardId& from, Error error, Commands& out) {
  phase_ = Phase::failed;
  out.emplace_back(
      Send{Address{Role::trainer, {}}, Failed{stamp(0), shard_address(from), std::move(error)}});
}

bool RankCore::idle() const {
  return phase_ == Phase::ending && std::ranges::all_of(ends_, &RoundEnd::is_over);
}

std::string RankCore::describe() const {
  return fmt::format("{} {} after {} works", to_string(config_.hosted.front().id), describe_wait(),
                     works_completed_);
}

std::string RankCore::describe_wait() const {
  if (phase_ == Phase::failed) return "has failed";
  if (idle()) return fmt::format("is idle after round {}", round_);
  if (phase_ == Phase::ending) {
    const auto waiting =
        std::ranges::find_if(ends_, [](const RoundEnd& end) { return !end.is_over(); });
    return std::string(waiting->describe());
  }
  for (const PausedReduction& reduction : reductions_) {
    if (!reduction.is_paused()) continue;
    return fmt::format("waits for the other shards' part of {}", reduction.describe());
  }
  if (in_flight_ > 0) return "is computing";
  return fmt::format("waits to start {}", cursor_.describe());
}

}  // namespace collie
