// From the keys tuning.* to what the model is tuned with, and what a tuned run is bound to: the
// model it stands beside.
#pragma once

#include <memory>
#include <string>

#include "models/peft/tuning.hpp"
#include "runtime/config.hpp"

namespace collie {

// Null where the whole model is trained. Reads the adapter's configuration where there is one; keys
// that contradict it, or that mean another method, are refused.
Result<std::shared_ptr<const Tuning>> choose_tuning(const RunConfig& config,
                                                    const ModelTraits& traits);

// The frozen model beside an adapter: a checkpoint that holds the adapter alone is of no use with
// another one.
struct TunedBase {
  std::string path;              // of its directory; empty for a fresh model
  std::uint64_t hash = 0;        // of its tensors; of its configuration and seed for a fresh one
  Json tuning = Json::object();  // adapter_config_json without the path
};
// Reads every byte of the model's tensors.
Result<TunedBase> identify_base(const RunConfig& config, const Tuning& tuning,
                                const ModelTraits& traits);
Json to_json(const TunedBase& base);
// saved: what a checkpoint's run says under "base", null where it holds a whole model. now: null
// where the run trains the whole model. The error names the checkpoint and what differs.
Status check_base(const Json& saved, const TunedBase* now, const std::string& checkpoint);

}  // namespace collie
