// What may be done beside a run's steps: the keys eval.*, checkpoint.* and callbacks.*.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/json.hpp"

namespace collie {

struct EvalSection {
  std::int64_t every_steps = 0;     // 0: only after the last step
  double every_epochs = 0.0;        // instead of every_steps; fractions are allowed
  std::int64_t max_batches = 0;     // micro-batches of validation, 0: the whole validation set
  Json evaluators = Json::array();  // a list of objects; actors/evaluator.hpp reads them
};

// A figure of an evaluation: "evaluator#value", as "validation#loss" or "arc#acc_norm".
struct WatchedMetric {
  std::string name = "validation#loss";
  std::string mode = "auto";  // min or max is better; auto: min for losses and perplexities
};

struct BestSection {
  WatchedMetric metric;
  std::int64_t keep = 0;  // best checkpoints to keep in <output.directory>/best; 0: none
  bool load = false;      // the model saved at the end is the best one
};

struct CheckpointSection {
  std::int64_t every_steps = 0;  // 0: only when the run ends or is stopped
  double every_epochs = 0.0;     // instead of every_steps; fractions are allowed
  std::int64_t keep_last = 2;    // older ones are deleted; 0: keep all
  std::string resume = "auto";   // "auto": the newest in output.directory; "never"; or a path
  BestSection best;
};

struct EarlyStopSection {
  WatchedMetric metric;
  std::int64_t patience = 0;  // evaluations without an improvement; 0: never stops
  double min_delta = 0.0;     // an improvement is larger than this
};

struct SamplesSection {
  std::vector<std::string> prompts;
  std::int64_t every_steps = 0;  // 0: only after the last step
  std::int64_t max_tokens = 64;  // of each sample
  double temperature = 0.0;      // 0: always the most likely token
};

struct CallbacksSection {
  EarlyStopSection early_stop;
  SamplesSection samples;
  std::string non_finite = "error";  // of a step whose loss or gradient is: error, stop, skip
  std::int64_t max_skipped = 3;      // skip: steps one after the other before the run ends
};

}  // namespace collie
