#include "models/lr_schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace collie {

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

double learning_rate(const TrainSection& train, std::int64_t total, std::int64_t step) {
  const std::int64_t warmup = warmup_steps(train, total);
  if (step < warmup) {
    return train.lr * (static_cast<double>(step) / static_cast<double>(warmup));
  }
  if (train.lr_schedule == LrSchedule::constant) return train.lr;
  const auto decay_steps = static_cast<double>(std::max<std::int64_t>(1, total - warmup));
  const double progress = std::min(1.0, static_cast<double>(step - warmup) / decay_steps);
  // Not 1 - progress: the two differ at the last step where the warm-up takes all steps.
  const double remaining = std::max(0.0, static_cast<double>(total - step) / decay_steps);
  const double factor = train.lr_schedule == LrSchedule::linear
                            ? remaining
                            : 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return train.lr * (train.min_lr_ratio + (1.0 - train.min_lr_ratio) * factor);
}

}  // namespace collie
