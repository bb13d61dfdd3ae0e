#include "actors/protocol/rank_core.hpp"

#include <algorithm>

namespace collie {

namespace {

bool hands_gradient_on(WorkKind kind) {
  return kind == WorkKind::backward || kind == WorkKind::backward_input;
}

bool is_end_work(WorkKind kind) {
  switch (kind) {
    case WorkKind::prepare:
    case WorkKind::combine:
    case WorkKind::report:
    case WorkKind::optimize:
    case WorkKind::validate:
    case WorkKind::roll_back:
      return true;
    default:
      return false;
  }
}

bool makes_weights(Verb verb) {
  return verb == Verb::backward || verb == Verb::backward_weight;
}

int measured_shards(const std::vector<HostedShard>& hosted) {
  return static_cast<int>(std::ranges::count_if(
      hosted, [](const HostedShard& shard) { return shard.stage.direction == 0; }));
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
      fence_(config_.fence),
      validation_(config_.norms, measured_shards(config_.hosted)) {
  COLLIE_CHECK(!config_.hosted.empty(), "a rank hosts at least one shard");
  COLLIE_CHECK(config_.depth == 1 || config_.grid.tp == 1, "work that may pause is issued alone");
  COLLIE_CHECK(config_.depth <= limits::stream_depth_max, "depth {}", config_.depth);
  for (const HostedShard& shard : config_.hosted) {
    inboxes_.emplace_back(config_.run, config_.generation);
    reductions_.emplace_back(config_.grid, shard.id);
    ends_.emplace_back(shard.id, shard.exchanges, !config_.is_asynchronous());
    updates_per_round_.push_back(
        std::ranges::count_if(config_.program, [&shard](const Action& action) {
          return action.verb == Verb::step && action.stage == shard.stage.stage;
        }));
    weights_per_round_.push_back(
        std::ranges::count_if(config_.program, [this, &shard](const Action& action) {
          return makes_weights(action.verb) &&
                 config_.hosted[cursor_.hosted_index(action)].id == shard.id;
        }));
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
  work->measures = config_.norms.is_used;
  work->shard = config_.hosted[hosted].id;
  if (work->kind == WorkKind::optimize) reductions_[hosted].work_started();
  out.emplace_back(std::move(*work));
}

void RankCore::receive(const ShardId& to, Message message, Commands& out) {
  if (phase_ == Phase::failed) return;
  const std::size_t hosted = index_of_hosted(to);
  Inbox& inbox = inboxes_[hosted];
  if (const auto* begin = std::get_if<BeginRound>(&message); begin && inbox.is_of_run(message)) {
    // Every hosted shard is told; the first time counts.
    if (config_.norms.is_used) {
      order_.hear(*begin);
      begin_next_round(out);
    } else if (begin->stamp.round > round_) {
      begin_round(*begin, out);
    }
    return;
  }
  if (const auto* apply = std::get_if<Apply>(&message); apply && inbox.is_of_run(message)) {
    if (apply->voided_round != 0) give_up(apply->voided_round);
  }
  const InboxKey key = key_of(message);
  const auto* credit = std::get_if<Credit>(&message);
  const std::optional<Link> credited = credit ? std::optional(credit->link) : std::nullopt;
  if (inbox.accept(std::move(message)) != Inbox::Verdict::accepted) return;
  if (credited) {
    // The inbox has told a repeated credit by its key; this one has done its duty.
    inbox.take(key);
    if (key.round == round_) cursor_.give_credit(hosted, *credited);
  }
  issue(hosted, reductions_[hosted].resume_when_complete(inbox), out);
  issue(hosted, ends_[hosted].message_arrived(inbox), out);
  update_early(out);
  advance(out);
}

bool RankCore::is_paused() const {
  return std::ranges::any_of(reductions_, &PausedReduction::is_paused);
}

void RankCore::advance(Commands& out) {
  if (phase_ != Phase::program || is_paused()) return;
  while (in_flight_ < config_.depth) {
    const std::optional<Action> action = cursor_.startable(inboxes_);
    if (!action || !may_start(*action, out)) break;
    start(*action, out);
  }
  if (!cursor_.finished() || in_flight_ > 0) return;
  phase_ = Phase::ending;
  for (std::size_t hosted = 0; hosted < ends_.size(); ++hosted) {
    issue(hosted, ends_[hosted].begin(mode_, stamp(0)), out);
  }
}

// Its input and credit are there; a FENCE waits for all ranks, this one's stream included.
bool RankCore::may_start(const Action& action, Commands& out) {
  if (!has_ended() && !reads_alone(action)) return false;
  if (action.verb != Verb::fence) return true;
  return in_flight_ == 0 && fence_.may_pass(stamp(0), inboxes_.front(), out);
}

void RankCore::start(const Action& action, Commands& out) {
  const std::size_t hosted = cursor_.hosted_index(action);
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
      work = update_work(hosted);
      break;
    case Verb::recompute:
      work.kind = WorkKind::recompute;
      break;
    case Verb::predict:
      work.kind = WorkKind::predict;
      break;
    case Verb::fence:
      work.kind = WorkKind::fence;
      break;
    default:
      COLLIE_CHECK(false, "{} is not walked", to_string(action));
  }
  work.stamp = stamp(action.micro_batch);
  set_versions(hosted, work);
  if (makes_weights(action.verb)) count_weights(hosted, work);
  cursor_.started(action);
  reductions_[hosted].work_started();
  issue(hosted, std::move(work), out);
}

void RankCore::set_versions(std::size_t hosted, Work& work) const {
  if (!config_.is_asynchronous() || mode_ != Mode::train) return;
  work.version = config_.version_uses[cursor_.position()];
  // For corrections of delay: of an update its own number, of other work those before.
  work.apply.optimizer_step = begin_.step * updates_per_round_[hosted] + updates_[hosted];
  work.apply.learning_rate = begin_.learning_rate;
}

Work RankCore::forward_work(const Action& action, Commands& out) {
  const Stamp at = stamp(action.micro_batch);
  const std::size_t hosted = cursor_.hosted_index(action);
  Inbox& inbox = inboxes_[hosted];
  Work work;
  work.kind = WorkKind::forward;
  work.keeps_input = mode_ == Mode::train && cursor_.is_recomputed(action);
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

Work RankCore::update_work(std::size_t hosted) {
  ++updates_[hosted];
  Work work;
  work.kind = WorkKind::update;
  work.clip_norm = begin_.clip_norm;
  return work;
}

// A shard that updates within its backward does so with the last of them.
void RankCore::count_weights(std::size_t hosted, Work& work) {
  if (config_.is_asynchronous()) return;
  work.ends_backward = --weights_left_[hosted] == 0;
  work.apply.optimizer_step = begin_.step + 1;
  work.apply.learning_rate = begin_.learning_rate;
  work.clip_norm = begin_.clip_norm;
}

void RankCore::completed(Completion completion, Commands& out) {
  if (phase_ == Phase::failed) return;
  const std::size_t hosted = index_of_hosted(completion.shard);
  --in_flight_;
  ++works_completed_;
  const bool is_void = order_.is_given_up(completion.stamp);
  if (!is_void) {
    trace_.completed(completion, hosted, cursor_.hosted(hosted), config_.is_asynchronous());
  }
  if (completion.error) {
    fail(completion.shard, std::move(*completion.error), out);
  } else if (is_void) {
    advance(out);
  } else if (completion.paused) {
    reductions_[hosted].pause(completion, out);
    issue(hosted, reductions_[hosted].resume_when_complete(inboxes_[hosted]), out);
  } else if (is_end_work(completion.kind)) {
    end_completed(std::move(completion), hosted, out);
  } else {
    send_output(completion, hosted, out);
    advance(out);
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
  std::string text = fmt::format("{} {} after {} works", to_string(config_.hosted.front().id),
                                 describe_wait(), works_completed_);
  if (rollbacks_ > 0) text += fmt::format(", {} updates rolled back", rollbacks_);
  return text;
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
  if (fence_.is_waiting()) return fmt::format("waits for all ranks at {}", fence_.describe());
  return fmt::format("waits to start {}", cursor_.describe());
}

}  // namespace collie
