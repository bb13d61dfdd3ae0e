// Which modules a tuning means, by their paths.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "models/peft/tuning.hpp"
#include "runtime/glob.hpp"

namespace collie {

namespace {

constexpr std::string_view all_linear = "all-linear";
constexpr std::string_view head_module = "lm_head";

std::string_view without_ending(std::string_view tensor) {
  for (const std::string_view ending : {".weight", ".bias"}) {
    if (tensor.ends_with(ending)) return tensor.substr(0, tensor.size() - ending.size());
  }
  return tensor;
}

std::vector<std::string> default_targets(const Tuning& tuning, const ModelTraits& traits) {
  if (tuning.method == TuningMethod::ia3) {
    if (traits.family == "gpt2") return {"c_attn", "mlp.c_proj"};
    if (traits.family.starts_with("qwen")) return {"q_proj", "v_proj", "down_proj"};
    return {"k_proj", "v_proj", "down_proj"};
  }
  if (traits.family == "gpt2") return {"c_attn"};
  return {"q_proj", "v_proj"};
}

// PEFT adapts nothing that is trained whole.
bool is_left_out(const Tuning& tuning, std::string_view path) {
  const auto excludes = [&](const std::string& name) { return matches_module(name, path); };
  const auto saves = [&](const std::string& name) { return saves_module(name, path); };
  if (std::ranges::any_of(tuning.exclude_modules, excludes)) return true;
  if (std::ranges::any_of(tuning.modules_to_save, saves)) return true;
  if (tuning.layers.empty()) return false;
  return std::ranges::find(tuning.layers, layer_of_module(path)) == tuning.layers.end();
}

template <class Value>
Value value_for(const std::vector<std::pair<std::string, Value>>& pattern, std::string_view path,
                Value otherwise) {
  for (const auto& [name, value] : pattern) {
    if (matches_module(name, path)) return value;
  }
  return otherwise;
}

}  // namespace

std::int64_t Tuning::rank_of(std::string_view path) const {
  return value_for(rank_pattern, path, rank);
}

double Tuning::scale_of(std::string_view path) const {
  const auto divisor = static_cast<double>(rank_of(path));
  return value_for(alpha_pattern, path, alpha) / (rslora ? std::sqrt(divisor) : divisor);
}

std::string module_path(const ParameterSpec& spec) {
  return std::string(without_ending(spec.hf.tensor));
}

std::string adapted_path(const ParameterSpec& weight) {
  return weight.name == "head" ? std::string(head_module) : module_path(weight);
}

std::int64_t layer_of_module(std::string_view path) {
  for (std::size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
    std::int64_t layer = -1;
    const char* end = path.data() + path.size();
    const auto [stop, error] = std::from_chars(path.data() + dot + 1, end, layer);
    if (error == std::errc() && layer >= 0 && (stop == end || *stop == '.')) return layer;
  }
  return -1;
}

bool matches_module(std::string_view target, std::string_view path) {
  const bool is_pattern = target == all_linear || target.find('*') != target.npos;
  if (is_pattern && layer_of_module(path) < 0) return false;
  if (target == all_linear) return true;
  return matches_glob(target, path) || matches_glob(fmt::format("*.{}", target), path);
}

bool saves_module(std::string_view target, std::string_view path) {
  return matches_glob(fmt::format("*{}", target), path);
}

bool is_target(const Tuning& tuning, const ModelTraits& traits, std::string_view path) {
  const auto means = [&](const std::string& target) { return matches_module(target, path); };
  if (is_left_out(tuning, path)) return false;
  if (!tuning.targets.empty()) return std::ranges::any_of(tuning.targets, means);
  return std::ranges::any_of(default_targets(tuning, traits), means);
}

bool is_feedforward(const Tuning& tuning, const ModelTraits& traits, std::string_view path) {
  const auto means = [&](const std::string& target) { return matches_module(target, path); };
  if (!tuning.feedforward.empty()) return std::ranges::any_of(tuning.feedforward, means);
  return matches_module(traits.family == "gpt2" ? "mlp.c_proj" : "down_proj", path);
}

}  // namespace collie
