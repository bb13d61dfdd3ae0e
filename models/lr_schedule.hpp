// The learning rate as a pure function of the step. Equal to Hugging Face's get_scheduler
// ("constant_with_warmup", "linear", "cosine", "cosine_with_min_lr" for min_lr_ratio > 0,
// "polynomial", "inverse_sqrt", "warmup_stable_decay"): the rate of the first step, step 0, is 0
// when there is a warm-up (wsd: lr * min_lr_ratio).
#pragma once

#include <cstdint>

#include "runtime/config.hpp"

namespace collie {

// train.max_steps, or ceil(epochs * rows of an epoch / rows of a global batch). At least 1.
std::int64_t total_steps(const TrainSection& train, std::int64_t epoch_rows,
                         std::int64_t global_batch_rows);

// train.warmup_steps, or ceil(total * warmup_ratio).
std::int64_t warmup_steps(const TrainSection& train, std::int64_t total);

// Of wsd's last phase: train.lr_decay_steps, or ceil(total * lr_decay_ratio); at most what the
// warm-up leaves.
std::int64_t decay_steps(const TrainSection& train, std::int64_t total);

// step counts from 0; total is total_steps(). With warm-up w and r = min_lr_ratio:
//   step < w      lr * step / w  (wsd: lr * (r + (1 - r) * step / w))
//   constant      lr
//   linear        lr * (r + (1 - r) * (total - step) / (total - w))
//   cosine        lr * (r + (1 - r) * (1 + cos(pi * (step - w) / (total - w))) / 2)
//   polynomial    lr * (r + (1 - r) * ((total - step) / (total - w))^lr_power)
//   inverse_sqrt  lr * max(r, 1 / sqrt((step - w + c) / c)), c = lr_timescale, or w, or 10,000
//   wsd           lr until decay_steps() before the end; then, p being the share of these that is
//                 done, lr * (r + (1 - r) * f) where f is 1 - p, (1 + cos(pi * p)) / 2 or 1 -
//                 sqrt(p)
// Beyond total, all but constant and inverse_sqrt stay at lr * r.
double learning_rate(const TrainSection& train, std::int64_t total, std::int64_t step);

}  // namespace collie
