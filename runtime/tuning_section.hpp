// What is trained beside a frozen model: the keys tuning.* of a run's configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/json.hpp"

namespace collie {

// What is not given ("auto", 0, null, an empty list) is the adapter's own where tuning.adapter
// names one, and the method's usual value otherwise.
struct TuningSection {
  std::string method = "auto";               // full without an adapter
  std::string adapter;                       // a PEFT directory to start from
  std::int64_t rank = 0;                     // 8
  std::optional<double> alpha = {};          // 16
  std::optional<double> dropout = {};        // 0
  std::vector<std::string> targets;          // the method's usual modules
  std::vector<std::string> modules_to_save;  // none
  std::vector<std::string> exclude_modules;  // none: of the targets
  std::vector<std::string> layers;           // all; numbers from 0 on, or ranges as 4-7
  Json rank_pattern, alpha_pattern;          // null, or {module: number}: rank and alpha elsewhere
  std::string init = "auto";                 // kaiming
  std::optional<bool> rslora = {}, dora = {};
  std::string bias = "auto";         // none
  std::int64_t virtual_tokens = 0;   // 20
  std::int64_t projection_size = 0;  // prefix: no projection; p_tuning: the model's hidden size
  std::int64_t bottleneck = 0;       // 64
  bool save_merged = false;  // the model with the adapter merged into it, beside the adapter

  bool operator==(const TuningSection&) const = default;
};

}  // namespace collie
