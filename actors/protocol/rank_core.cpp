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
    fetches_.emplace_back(config_.grid, shard.id, shard.values);
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
  work->values = fetches_[hosted].table();
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
  const auto* part = std::get_if<Contribution>(&message);
  const Contribution values = fetches_[hosted].is_used() && part ? *part : Contribution{};
  if (inbox.accept(std::move(message)) != Inbox::Verdict::accepted) return;
  if (credited) {
    // The inbox has told a repeated credit by its key; this one has done its duty.
    inbox.take(key);
    if (key.round == round_) cursor_.give_credit(hosted, *credited);
  }
  if (take_values(hosted, values, out)) return;
  meter_.waits(waiting_messages());
  issue(hosted, reductions_[hosted].resume_when_complete(inbox), out);
  issue(hosted, ends_[hosted].message_arrived(inbox), out);
  update_early(out);
  advance(out);
}

bool RankCore::is_paused() const {
  return std::ranges::any_of(reductions_, &PausedReduction::is_paused) ||
         std::ranges::any_of(fetches_, &ValueFetch::is_paused);
}

std::size_t RankCore::waiting_messages() const {
  std::size_t messages = 0;
  for (const Inbox& inbox : inboxes_) messages += inbox.size();
  return messages;
}

void RankCore::advance(Commands& out) {
  if (phase_ != Phase::program || is_paused()) return;
  if (mode_ == Mode::generate) return advance_generation(out);
  while (in_flight_ < config_.depth) {
    const std::optional<Action> action = cursor_.startable(inboxes_);
    if (!action || !may_start(*action, out)) break;
    start(*action, out);
  }
  if (cursor_.finished() && in_flight_ == 0) end_program(out);
}

void RankCore::end_program(Commands& out) {
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

void RankCore::completed(Completion completion, Commands& out) {
  if (phase_ == Phase::failed) return;
  const std::size_t hosted = index_of_hosted(completion.shard);
  if (completion.kind == WorkKind::fetch && !completion.error) {
    fetches_[hosted].copied(std::move(completion));
    return issue(hosted, fetches_[hosted].resume_when_there(), out);
  }
  --in_flight_;
  ++works_completed_;
  meter_.completed(completion);
  const bool is_void = order_.is_given_up(completion.stamp);
  if (!is_void) {
    trace_.completed(completion, hosted, cursor_.hosted(hosted), config_.is_asynchronous());
  }
  if (completion.error) {
    fail(completion.shard, std::move(*completion.error), out);
  } else if (is_void) {
    advance(out);
  } else if (completion.paused) {
    paused(completion, hosted, out);
  } else if (is_end_work(completion.kind)) {
    end_completed(std::move(completion), hosted, out);
  } else {
    if (mode_ == Mode::generate) tell_sampled(completion, hosted, out);
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
  const auto fetching = std::ranges::find_if(fetches_, &ValueFetch::is_paused);
  if (fetching != fetches_.end()) return fmt::format("waits for {}", fetching->describe());
  if (in_flight_ > 0) return "is computing";
  if (fence_.is_waiting()) return fmt::format("waits for all ranks at {}", fence_.describe());
  if (mode_ == Mode::generate) return fmt::format("waits for {}", generations_.front().describe());
  return fmt::format("waits to start {}", cursor_.describe());
}

}  // namespace collie
