// Which parameters of a slice are trained, and which an adapter adds to them.
#include <algorithm>

#include "models/peft/declare_adapters.hpp"
#include "models/peft/tuning.hpp"

namespace collie {

namespace {

bool is_bias(const ParameterSpec& spec) {
  return spec.hf.tensor.ends_with(".bias");
}

bool is_tuned_bias(const Tuning& tuning, const ModelTraits& traits, const ParameterSpec& spec) {
  if (!is_bias(spec) || tuning.biases == TunedBiases::none) return false;
  return tuning.biases == TunedBiases::all || is_target(tuning, traits, module_path(spec));
}

bool is_saved_whole(const Tuning& tuning, const ParameterSpec& spec) {
  const std::string path = module_path(spec);
  return std::ranges::any_of(tuning.modules_to_save,
                             [&](const std::string& target) { return saves_module(target, path); });
}

}  // namespace

std::string adapter_tensor_name(const Tuning& tuning, const ModelTraits& traits,
                                const ParameterSpec& spec) {
  if (spec.adapter) return spec.hf.tensor;
  const std::string path = module_path(spec);
  const bool is_wrapped = is_bias(spec) && is_target(tuning, traits, path);
  return fmt::format("{}{}{}{}", adapter_file_prefix, path, is_wrapped ? ".base_layer" : "",
                     spec.hf.tensor.substr(path.size()));
}

std::vector<ParameterSpec> tuned_parameters(const Tuning& tuning, const ModelTraits& traits) {
  StageSlice whole;
  whole.layer_end = traits.layer_count;
  Result<std::vector<ParameterSpec>> specs = declare_parameters(traits, whole);
  COLLIE_CHECK(specs.ok(), "the traits have been checked");
  declare_tuning(tuning, traits, whole, *specs);
  std::erase_if(*specs, [](const ParameterSpec& spec) { return !spec.trainable || !spec.owned; });
  for (ParameterSpec& spec : *specs) spec.hf.tensor = adapter_tensor_name(tuning, traits, spec);
  return std::move(specs).value();
}

void declare_tuning(const Tuning& tuning, const ModelTraits& traits, const StageSlice& slice,
                    std::vector<ParameterSpec>& specs) {
  if (tuning.is_full()) return;
  for (ParameterSpec& spec : specs) {
    spec.trainable = is_saved_whole(tuning, spec) || is_tuned_bias(tuning, traits, spec);
  }
  std::ranges::move(declare_adapters(tuning, traits, slice, specs), std::back_inserter(specs));
}

}  // namespace collie
