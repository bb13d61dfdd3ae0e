#include "actors/protocol/trainer_core.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace collie {

// torch.nn.utils.clip_grad_norm_: the same small constant keeps a zero norm harmless.
double clip_scale(double norm, double clip_norm) {
  return clip_norm > 0.0 && norm > clip_norm ? clip_norm / (norm + 1e-6) : 1.0;
}

TrainerCore::TrainerCore(std::uint64_t run, std::uint32_t generation, Grid grid,
                         bool post_validates)
    : run_(run), generation_(generation), grid_(grid), post_validates_(post_validates) {}

const RoundReport& TrainerCore::Round::report(const Grid& grid, const ShardId& shard) const {
  return *reports[static_cast<std::size_t>(index_of(grid, shard))];
}

bool TrainerCore::Round::is_reported() const {
  return data && std::ranges::all_of(reports, [](const auto& slot) { return slot.has_value(); });
}

void TrainerCore::begin(const RoundRequest& request, Commands& out,
                        const std::optional<RoundRequest>& next) {
  COLLIE_CHECK(!running_, "a round is running");
  running_ = true;
  result_.reset();
  if (open_.empty()) open(request, false, out);
  COLLIE_CHECK(open_.front().request == request, "another round than the one begun early");
  const bool both_train = next && next->mode == Mode::train && request.mode == Mode::train;
  if (post_validates_ && both_train) open(*next, true, out);
  decide_when_reported(out);
  finish_when_done();
}

void TrainerCore::open(const RoundRequest& request, bool may_overtake, Commands& out) {
  const std::uint32_t before = open_.empty() ? ended_ : open_.back().begin.stamp.round;
  const BeginRound begin{{run_, generation_, ++last_number_, 0},
                         request.mode,
                         request.micro_batches,
                         request.step,
                         request.learning_rate,
                         request.clip_norm,
                         request.want_trace,
                         before,
                         may_overtake,
                         request.curvature,
                         request.generation};
  Round& round = open_.emplace_back(Round{begin, request});
  const auto shards = static_cast<std::size_t>(grid_.shard_count());
  round.reports.assign(shards, std::nullopt);
  round.done.assign(shards, std::nullopt);
  out.emplace_back(Send{Address{Role::feeder, {}}, begin});
  broadcast(begin, out);
}

void TrainerCore::broadcast(const Message& message, Commands& out) const {
  for (int i = 0; i < grid_.shard_count(); ++i) {
    out.emplace_back(Send{shard_address(shard_at(grid_, i)), message});
  }
}

void TrainerCore::receive(Message message, Commands& out) {
  const Stamp stamp = stamp_of(message);
  if (!running_ || stamp.run != run_ || stamp.generation != generation_) return;
  if (auto* failed = std::get_if<Failed>(&message)) {
    fail(std::move(failed->error));
    return;
  }
  for (Round& round : open_) {
    if (round.begin.stamp.round != stamp.round) continue;
    keep(round, std::move(message));
    break;
  }
  decide_when_reported(out);
  finish_when_done();
}

void TrainerCore::keep(Round& round, Message message) {
  if (auto* data = std::get_if<RoundData>(&message)) {
    round.data = *data;
  } else if (auto* report = std::get_if<RoundReport>(&message)) {
    auto& slot = round.reports[static_cast<std::size_t>(index_of(grid_, report->from))];
    if (!slot) slot = std::move(*report);
  } else if (auto* done = std::get_if<StepDone>(&message)) {
    auto& slot = round.done[static_cast<std::size_t>(index_of(grid_, done->from))];
    if (!slot) slot = std::move(*done);
  }
}

void TrainerCore::decide_when_reported(Commands& out) {
  if (!running_ || open_.front().applied || !open_.front().is_reported()) return;
  Round& round = open_.front();
  round.applied = true;
  RoundOutcome& outcome = round.outcome;
  outcome.valid_tokens = round.data->valid_tokens;
  outcome.tokens = round.data->tokens;
  outcome.loss =
      loss_sum(round) / static_cast<double>(std::max<std::int64_t>(1, outcome.valid_tokens));
  outcome.gradient_norm = std::sqrt(sum_of_squares(round));
  for (int replica = 0; replica < grid_.dp; ++replica) {
    const auto& losses = round.report(grid_, {replica, grid_.pp - 1, 0}).row_losses;
    outcome.row_losses.insert(outcome.row_losses.end(), losses.begin(), losses.end());
  }
  if (Status complete = keep_generated(round); !complete) {
    return fail(std::move(complete).error());
  }
  if (Status finite = check_finite(round); !finite) {
    round.refusal = std::move(finite).error();
    // Without post-validation no rank has updated: they see at the next round that none will come.
    if (!post_validates_ || round.request.mode != Mode::train) return finish(*round.refusal);
  } else if (round.request.mode != Mode::train) {
    return finish(outcome);
  }
  decide_update(round, out);
}

// Every prompt of the round has been gone on with once, by one replica.
Status TrainerCore::keep_generated(Round& round) const {
  if (round.request.mode != Mode::generate) return ok_status();
  std::vector<GeneratedSequence>& all = round.outcome.generated;
  for (int replica = 0; replica < grid_.dp; ++replica) {
    const auto& generated = round.report(grid_, {replica, grid_.pp - 1, 0}).generated;
    all.insert(all.end(), generated.begin(), generated.end());
  }
  std::ranges::sort(all, {}, &GeneratedSequence::prompt);
  const int count = round.request.generation.prompts;
  for (int prompt = 0; prompt < count; ++prompt) {
    const auto index = static_cast<std::size_t>(prompt);
    if (index < all.size() && all[index].prompt == prompt) continue;
    return make_error(ErrorCode::lost, "prompt {} of {} was lost or doubled", prompt, count);
  }
  if (all.size() == static_cast<std::size_t>(count)) return ok_status();
  return make_error(ErrorCode::lost, "{} sequences for {} prompts", all.size(), count);
}

void TrainerCore::decide_update(Round& round, Commands& out) {
  const RoundRequest& request = round.request;
  const double scale = clip_scale(round.outcome.gradient_norm, request.clip_norm);
  const bool clips = scale != 1.0;
  Apply apply{round.begin.stamp, request.step + 1,         request.learning_rate, scale,
              request.want_hash, round.refusal.has_value()};
  if (request.curvature) apply.curvature_tokens = round.outcome.valid_tokens;
  // A rank that went on has updated unscaled.
  std::optional<RoundRequest> again;
  if (open_.size() > 1 && (clips || apply.is_refused)) {
    apply.voided_round = open_.back().begin.stamp.round;
    if (!apply.is_refused) again = open_.back().request;
    open_.pop_back();
  }
  broadcast(apply, out);
  if (again) open(*again, false, out);
}

double TrainerCore::loss_sum(const Round& round) const {
  double sum = 0.0;
  for (int replica = 0; replica < grid_.dp; ++replica) {
    for (const double loss : round.report(grid_, {replica, grid_.pp - 1, 0}).losses) sum += loss;
  }
  return sum;
}

double TrainerCore::sum_of_squares(const Round& round) const {
  double sum = 0.0;
  for (int tensor = 0; tensor < grid_.tp; ++tensor) {
    for (int stage = 0; stage < grid_.pp; ++stage) {
      const RoundReport& first = round.report(grid_, {0, stage, tensor});
      for (std::size_t i = 0; i < first.squares.size(); ++i) {
        double square = first.squares[i];
        // With ZeRO one replica has measured it, for the others it is 0.
        for (int replica = 1; first.is_share && replica < grid_.dp; ++replica) {
          square += round.report(grid_, {replica, stage, tensor}).squares[i];
        }
        sum += square;
      }
    }
  }
  return sum;
}

Status TrainerCore::check_finite(const Round& round) const {
  const RoundRequest& request = round.request;
  const bool trains = request.mode == Mode::train;
  const std::string what = fmt::format("{} {}{}", trains ? "step" : "evaluation batch",
                                       trains ? request.step + 1 : request.step,
                                       request.curvature ? ", estimate of its curvature" : "");
  const std::string remedy =
      trains ? "the step was not applied; lower train.lr or inspect the data of this step"
             : "the parameters have diverged, or the data is broken";
  for (int replica = 0; replica < grid_.dp; ++replica) {
    const auto& losses = round.report(grid_, {replica, grid_.pp - 1, 0}).losses;
    for (std::size_t mb = 0; mb < losses.size(); ++mb) {
      if (std::isfinite(losses[mb])) continue;
      return make_error(ErrorCode::non_finite,
                        "{}: the loss of replica {} micro-batch {} is {}; {}", what, replica, mb,
                        losses[mb], remedy);
    }
  }
  for (const auto& slot : round.reports) {
    if (slot->first_non_finite.empty()) continue;
    return make_error(ErrorCode::non_finite, "{}: the gradient of {} ({}) is not finite; {}", what,
                      slot->first_non_finite, to_string(slot->from), remedy);
  }
  return ok_status();
}

void TrainerCore::finish_when_done() {
  if (!running_) return;
  Round& round = open_.front();
  if (!std::ranges::all_of(round.done, [](const auto& s) { return s.has_value(); })) return;
  if (round.refusal) return finish(*round.refusal);
  RoundOutcome& outcome = round.outcome;
  std::vector<std::uint64_t> hashes(static_cast<std::size_t>(grid_.dp), 0);
  for (auto& slot : round.done) {
    hashes[static_cast<std::size_t>(slot->from.replica)] += slot->parameter_hash;
    outcome.peak_bytes.push_back(slot->peak_bytes);
    outcome.rollbacks += slot->rollbacks;
    if (slot->use.is_measured) outcome.ranks.push_back(slot->use);
    if (round.request.want_trace) outcome.trace.push_back(slot->trace);
  }
  if (round.done.front()->is_share) {
    hashes.assign(1, std::accumulate(hashes.begin(), hashes.end(), std::uint64_t{0}));
  }
  outcome.parameter_hash = hashes[0];
  for (std::size_t replica = 1; replica < hashes.size(); ++replica) {
    if (hashes[replica] == hashes[0]) continue;
    return fail(make_error(ErrorCode::lost,
                           "step {}: the parameters of replica {} differ from replica 0",
                           round.request.step + 1, replica));
  }
  finish(outcome);
}

void TrainerCore::finish(Result<RoundOutcome> result) {
  running_ = false;
  result_ = std::move(result);
  ended_ = open_.front().begin.stamp.round;
  open_.pop_front();
}

void TrainerCore::fail(Error error) {
  running_ = false;
  result_ = std::move(error);
  open_.clear();
}

std::optional<Result<RoundOutcome>> TrainerCore::take_outcome() {
  return std::exchange(result_, std::nullopt);
}

std::string TrainerCore::describe() const {
  if (open_.empty()) return "no round is running";
  const Round& round = open_.front();
  std::string missing;
  for (std::size_t i = 0; i < round.reports.size(); ++i) {
    if (round.applied ? round.done[i].has_value() : round.reports[i].has_value()) continue;
    missing += fmt::format("{}{}", missing.empty() ? "" : ", ",
                           to_string(shard_at(grid_, static_cast<int>(i))));
  }
  return fmt::format("round {} waits for {} from: {}", round.begin.stamp.round,
                     round.applied ? "updates" : "reports",
                     missing.empty() ? "the feeder" : missing);
}

}  // namespace collie
