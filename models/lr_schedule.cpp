#include "models/lr_schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace collie {

namespace {

constexpr std::int64_t timescale_without_warmup = 10'000;

double half_cosine(double progress) {
  return 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

double fallen(LrDecay decay, double progress) {
  switch (decay) {
    case LrDecay::linear:
      return 1.0 - progress;
    case LrDecay::cosine:
      return half_cosine(progress);
    case LrDecay::one_minus_sqrt:
      return 1.0 - std::sqrt(progress);
  }
  return 0.0;
}

// What the share above the least rate is multiplied by.
double stable_then_decay(const TrainSection& train, std::int64_t total, std::int64_t step) {
  const std::int64_t decay = decay_steps(train, total);
  const std::int64_t into = step - (total - decay);
  if (into < 0) return 1.0;
  if (into >= decay) return 0.0;
  return fallen(train.lr_decay, static_cast<double>(into) / static_cast<double>(decay));
}

double inverse_sqrt(const TrainSection& train, std::int64_t warmup, std::int64_t step) {
  std::int64_t scale = train.lr_timescale > 0 ? train.lr_timescale : warmup;
  if (scale == 0) scale = timescale_without_warmup;
  const double factor =
      1.0 / std::sqrt(static_cast<double>(step - warmup + scale) / static_cast<double>(scale));
  return std::max(train.min_lr_ratio, factor);
}

}  // namespace

std::int64_t total_steps(const TrainSection& train, std::int64_t epoch_rows,
                         std::int64_t global_batch_rows) {
  COLLIE_CHECK(epoch_rows > 0 && global_batch_rows > 0, "{} rows in batches of {}", epoch_rows,
               global_batch_rows);
  if (train.max_steps > 0) return train.max_steps;
  const double rows = train.epochs * static_cast<double>(epoch_rows);
  const double steps = std::ceil(rows / static_cast<double>(global_batch_rows));
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(steps));
}

std::int64_t warmup_steps(const TrainSection& train, std::int64_t total) {
  if (train.warmup_steps > 0) return train.warmup_steps;
  return static_cast<std::int64_t>(std::ceil(static_cast<double>(total) * train.warmup_ratio));
}

std::int64_t decay_steps(const TrainSection& train, std::int64_t total) {
  const double share = std::ceil(static_cast<double>(total) * train.lr_decay_ratio);
  const std::int64_t wanted =
      train.lr_decay_steps > 0 ? train.lr_decay_steps : static_cast<std::int64_t>(share);
  return std::clamp<std::int64_t>(total - warmup_steps(train, total), 0, wanted);
}

double learning_rate(const TrainSection& train, std::int64_t total, std::int64_t step) {
  const std::int64_t warmup = warmup_steps(train, total);
  const double least = train.min_lr_ratio;
  if (step < warmup) {
    const double share = static_cast<double>(step) / static_cast<double>(warmup);
    if (train.lr_schedule == LrSchedule::wsd) return train.lr * (least + (1.0 - least) * share);
    return train.lr * share;
  }
  const auto left = static_cast<double>(std::max<std::int64_t>(1, total - warmup));
  const double progress = std::min(1.0, static_cast<double>(step - warmup) / left);
  // Not 1 - progress: the two differ at the last step where the warm-up takes all steps.
  const double remaining = std::max(0.0, static_cast<double>(total - step) / left);
  double factor = 1.0;
  switch (train.lr_schedule) {
    case LrSchedule::constant:
      return train.lr;
    case LrSchedule::inverse_sqrt:
      return train.lr * inverse_sqrt(train, warmup, step);
    case LrSchedule::linear:
      factor = remaining;
      break;
    case LrSchedule::cosine:
      factor = half_cosine(progress);
      break;
    case LrSchedule::polynomial:
      factor = std::pow(remaining, train.lr_power);
      break;
    case LrSchedule::wsd:
      factor = stable_then_decay(train, total, step);
      break;
  }
  return train.lr * (least + (1.0 - least) * factor);
}

}  // namespace collie
