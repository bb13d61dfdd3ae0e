#include "actors/protocol/trainer_core.hpp"

#include <algorithm>
#include <cmath>

namespace collie {

TrainerCore::TrainerCore(std::uint64_t run, std::uint32_t generation, Grid grid)
    : run_(run), generation_(generation), grid_(grid) {}

void TrainerCore::begin(const RoundRequest& request, Commands& out) {
  COLLIE_CHECK(!running_, "a round is running");
  ++round_;
  running_ = true;
  applied_ = false;
  request_ = request;
  const auto shards = static_cast<std::size_t>(grid_.shard_count());
  reports_.assign(shards, std::nullopt);
  done_.assign(shards, std::nullopt);
  data_.reset();
  outcome_ = RoundOutcome{};
  result_.reset();
  const BeginRound begin{
      {run_, generation_, round_, 0}, request.mode,      request.micro_batches, request.step,
      request.learning_rate,          request.clip_norm, request.want_trace};
  out.emplace_back(Send{Address{Role::feeder, {}}, begin});
  broadcast(begin, out);
}

void TrainerCore::broadcast(const Message& message, Commands& out) const {
  for (int i = 0; i < grid_.shard_count(); ++i) {
    out.emplace_back(Send{shard_address(shard_at(grid_, i)), message});
  }
}

void TrainerCore::receive(Message message, Commands& out) {
  const Stamp& stamp = stamp_of(message);
  if (!running_ || stamp.run != run_ || stamp.generation != generation_) return;
  if (auto* failed = std::get_if<Failed>(&message)) {
    fail(std::move(failed->error));
    return;
  }
  if (stamp.round != round_) return;
  if (auto* data = std::get_if<RoundData>(&message)) {
    data_ = *data;
  } else if (auto* report = std::get_if<RoundReport>(&message)) {
    auto& slot = reports_[static_cast<std::size_t>(index_of(grid_, report->from))];
    if (!slot) slot = std::move(*report);
  } else if (auto* done = std::get_if<StepDone>(&message)) {
    auto& slot = done_[static_cast<std::size_t>(index_of(grid_, done->from))];
    if (!slot) slot = std::move(*done);
  }
  decide_when_reported(out);
  finish_when_done();
}

const RoundReport& TrainerCore::report(const ShardId& shard) const {
  return *reports_[static_cast<std::size_t>(index_of(grid_, shard))];
}

void TrainerCore::decide_when_reported(Commands& out) {
  const bool complete =
      data_ && std::ranges::all_of(reports_, [](const auto& slot) { return slot.has_value(); });
  if (!running_ || applied_ || !complete) return;
  applied_ = true;
  outcome_.valid_tokens = data_->valid_tokens;
  outcome_.tokens = data_->tokens;
  outcome_.loss = loss_sum() / static_cast<double>(std::max<std::int64_t>(1, data_->valid_tokens));
  outcome_.gradient_norm = std::sqrt(sum_of_squares());
  if (Status finite = check_finite(); !finite) {
    fail(std::move(finite).error());
    return;
  }
  if (request_.mode != Mode::train) {
    running_ = false;
    result_ = outcome_;
    return;
  }
  // torch.nn.utils.clip_grad_norm_: the same small constant keeps a zero norm harmless.
  const bool clips = request_.clip_norm > 0.0 && outcome_.gradient_norm > request_.clip_norm;
  const double scale = clips ? request_.clip_norm / (outcome_.gradient_norm + 1e-6) : 1.0;
  broadcast(Apply{{run_, generation_, round_, 0},
                  request_.step + 1,
                  request_.learning_rate,
                  scale,
                  request_.want_hash},
            out);
}

double TrainerCore::loss_sum() const {
  double sum = 0.0;
  for (int replica = 0; replica < grid_.dp; ++replica) {
    for (const double loss : report({replica, grid_.pp - 1, 0}).losses) sum += loss;
  }
  return sum;
}

double TrainerCore::sum_of_squares() const {
  double sum = 0.0;
  for (int tensor = 0; tensor < grid_.tp; ++tensor) {
    for (int stage = 0; stage < grid_.pp; ++stage) {
      for (const double square : report({0, stage, tensor}).squares) sum += square;
    }
  }
  return sum;
}

Status TrainerCore::check_finite() const {
  const bool trains = request_.mode == Mode::train;
  const std::string what = fmt::format("{} {}", trains ? "step" : "evaluation batch",
                                       trains ? request_.step + 1 : request_.step);
  const std::string remedy =
      trains ? "the step was not applied; lower train.lr or inspect the data of this step"
             : "the parameters have diverged, or the data is broken";
  for (int replica = 0; replica < grid_.dp; ++replica) {
    const auto& losses = report({replica, grid_.pp - 1, 0}).losses;
    for (std::size_t mb = 0; mb < losses.size(); ++mb) {
      if (std::isfinite(losses[mb])) continue;
      return make_error(ErrorCode::non_finite,
                        "{}: the loss of replica {} micro-batch {} is {}; {}", what, replica, mb,
                        losses[mb], remedy);
    }
  }
  for (const auto& slot : reports_) {
    if (slot->first_non_finite.empty()) continue;
    return make_error(ErrorCode::non_finite, "{}: the gradient of {} ({}) is not finite; {}", what,
                      slot->first_non_finite, to_string(slot->from), remedy);
  }
  return ok_status();
}

void TrainerCore::finish_when_done() {
  if (!running_ || !std::ranges::all_of(done_, [](const auto& s) { return s.has_value(); })) return;
  running_ = false;
  std::vector<std::uint64_t> hashes(static_cast<std::size_t>(grid_.dp), 0);
  for (const auto& slot : done_) {
    hashes[static_cast<std::size_t>(slot->from.replica)] += slot->parameter_hash;
    outcome_.peak_bytes.push_back(slot->peak_bytes);
    if (request_.want_trace) outcome_.trace.push_back(slot->trace);
  }
  outcome_.parameter_hash = hashes[0];
  for (std::size_t replica = 1; replica < hashes.size(); ++replica) {
    if (hashes[replica] == hashes[0]) continue;
    fail(make_error(ErrorCode::lost, "step {}: the parameters of replica {} differ from replica 0",
                    request_.step + 1, replica));
    return;
  }
  result_ = outcome_;
}

void TrainerCore::fail(Error error) {
  running_ = false;
  result_ = std::move(error);
}

std::optional<Result<RoundOutcome>> TrainerCore::take_outcome() {
  return std::exchange(result_, std::nullopt);
}

std::string TrainerCore::describe() const {
  std::string missing;
  for (std::size_t i = 0; i < reports_.size(); ++i) {
    if (applied_ ? done_[i].has_value() : reports_[i].has_value()) continue;
    missing += fmt::format("{}{}", missing.empty() ? "" : ", ",
                           to_string(shard_at(grid_, static_cast<int>(i))));
  }
  return fmt::format("round {} waits for {} from: {}", round_, applied_ ? "updates" : "reports",
                     missing.empty() ? "the feeder" : missing);
}

}  // namespace collie
