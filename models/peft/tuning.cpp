#include "models/peft/tuning.hpp"

#include <algorithm>

#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

// Last parts of the modules' paths, each once, in the decoder's order.
std::vector<std::string> short_names(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths) {
    std::string name = path.substr(path.rfind('.') + 1);
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  return names;
}

Status check_targets(std::string_view key, const std::vector<std::string>& targets,
                     const std::vector<std::string>& paths, const std::vector<std::string>& shown,
                     bool (*means)(std::string_view, std::string_view)) {
  for (const std::string& target : targets) {
    const bool found =
        std::ranges::any_of(paths, [&](const std::string& path) { return means(target, path); });
    if (found) continue;
    return make_error(ErrorCode::invalid_config, "tuning.{}: no module {}; known: {}{}", key,
                      quoted_name(target), fmt::join(shown, ", "), did_you_mean(target, shown));
  }
  return ok_status();
}

Status check_rank(const Tuning& tuning, const std::vector<TunableModule>& modules,
                  const ModelTraits& traits) {
  for (const TunableModule& module : modules) {
    if (!is_target(tuning, traits, module.path)) continue;
    const std::int64_t rank = tuning.rank_of(module.path);
    if (rank <= std::min(module.rows, module.cols)) continue;
    return make_error(ErrorCode::invalid_config,
                      "tuning.{}: {} is more than {} has ({} x {}): choose a smaller one",
                      rank == tuning.rank ? "rank" : "rank_pattern", rank, module.path, module.rows,
                      module.cols);
  }
  return ok_status();
}

// DoRA's magnitudes are of layers' rows alone.
Status check_dora(const Tuning& tuning, const std::vector<TunableModule>& modules,
                  const ModelTraits& traits) {
  for (const TunableModule& module : modules) {
    if (!tuning.dora || layer_of_module(module.path) >= 0) continue;
    if (!is_target(tuning, traits, module.path)) continue;
    return make_error(ErrorCode::invalid_config,
                      "tuning.dora: is not supported on {}, only in layers: leave that out of "
                      "tuning.targets",
                      module.path);
  }
  return ok_status();
}

// The names of rank_pattern and alpha_pattern mean modules that are adapted.
template <class Value>
Status check_pattern(std::string_view key,
                     const std::vector<std::pair<std::string, Value>>& pattern,
                     const Tuning& tuning, const ModelTraits& traits,
                     const std::vector<TunableModule>& modules) {
  for (const auto& [name, _] : pattern) {
    const bool found = std::ranges::any_of(modules, [&](const TunableModule& module) {
      return matches_module(name, module.path) && is_target(tuning, traits, module.path);
    });
    if (found) continue;
    return make_error(ErrorCode::invalid_config, "tuning.{}: {} means no module that is adapted",
                      key, quoted_name(name));
  }
  return ok_status();
}

Status check_lora(const Tuning& tuning, const std::vector<TunableModule>& modules,
                  const ModelTraits& traits) {
  COLLIE_TRY_VOID(check_rank(tuning, modules, traits));
  COLLIE_TRY_VOID(check_dora(tuning, modules, traits));
  COLLIE_TRY_VOID(check_pattern("rank_pattern", tuning.rank_pattern, tuning, traits, modules));
  return check_pattern("alpha_pattern", tuning.alpha_pattern, tuning, traits, modules);
}

Status check_layers(const Tuning& tuning, const std::vector<TunableModule>& modules,
                    const ModelTraits& traits) {
  for (const std::int64_t layer : tuning.layers) {
    if (0 <= layer && layer < traits.layer_count) continue;
    return make_error(ErrorCode::invalid_config, "tuning.layers: {} must be from 0 to {}", layer,
                      traits.layer_count - 1);
  }
  const bool has_targets =
      tuning.method == TuningMethod::lora || tuning.method == TuningMethod::ia3;
  const bool adapts = std::ranges::any_of(
      modules, [&](const TunableModule& module) { return is_target(tuning, traits, module.path); });
  if (!has_targets || adapts) return ok_status();
  return make_error(ErrorCode::invalid_config,
                    "tuning.targets: nothing is left to adapt after tuning.layers, exclude_modules "
                    "and modules_to_save");
}

// A product of several modules has one input.
Status check_feedforward(const Tuning& tuning, const std::vector<TunableModule>& modules,
                         const ModelTraits& traits) {
  for (const TunableModule& module : modules) {
    const std::string& weight = module.weights.front();
    const bool is_shared = weight.ends_with("attention.q") || weight.ends_with("attention.k") ||
                           weight.ends_with("attention.v") || weight.ends_with("mlp.gate") ||
                           weight.ends_with("mlp.up");
    const bool is_alone = !is_shared || traits.family == "gpt2";
    if (is_alone || !is_target(tuning, traits, module.path)) continue;
    if (!is_feedforward(tuning, traits, module.path)) continue;
    return make_error(ErrorCode::invalid_config,
                      "tuning.feedforward: {} shares its input with its neighbours; choose modules "
                      "with one of their own: o_proj, down_proj",
                      module.path);
  }
  return ok_status();
}

Status check_virtual_tokens(const Tuning& tuning, const ModelTraits& traits) {
  if (tuning.virtual_tokens < 1 || tuning.virtual_tokens >= traits.context_length) {
    return make_error(ErrorCode::invalid_config,
                      "tuning.virtual_tokens: {} must be from 1 to {}, below the model's context",
                      tuning.virtual_tokens, traits.context_length - 1);
  }
  const bool has_net = tuning.method == TuningMethod::p_tuning;
  if (has_net == (tuning.projection_size > 0)) return ok_status();
  return make_error(ErrorCode::invalid_config, "tuning.projection_size: {}",
                    has_net ? "must be 1 or more for p_tuning: it is the width of its net"
                            : "must be 0: only p_tuning has a net; prefix trains the table that "
                              "PEFT saves of one");
}

Status check_method(const Tuning& tuning, const std::vector<TunableModule>& modules,
                    const ModelTraits& traits) {
  switch (tuning.method) {
    case TuningMethod::lora:
      return check_lora(tuning, modules, traits);
    case TuningMethod::ia3:
      return check_feedforward(tuning, modules, traits);
    case TuningMethod::prefix:
    case TuningMethod::prompt:
    case TuningMethod::p_tuning:
      return check_virtual_tokens(tuning, traits);
    case TuningMethod::houlsby:
      if (tuning.bottleneck >= 1 && tuning.bottleneck <= traits.hidden_size) return ok_status();
      return make_error(ErrorCode::invalid_config,
                        "tuning.bottleneck: {} must be from 1 to the hidden size, {}",
                        tuning.bottleneck, traits.hidden_size);
    case TuningMethod::full:
      break;
  }
  return ok_status();
}

std::vector<ParameterSpec> whole_model(const ModelTraits& traits) {
  StageSlice whole;
  whole.layer_end = traits.layer_count;
  Result<std::vector<ParameterSpec>> specs = declare_parameters(traits, whole);
  COLLIE_CHECK(specs.ok(), "the traits have been checked");
  return std::move(specs).value();
}

}  // namespace

std::int64_t Tuning::tokens_before() const {
  const bool has = method == TuningMethod::prefix || method == TuningMethod::prompt ||
                   method == TuningMethod::p_tuning;
  return has ? virtual_tokens : 0;
}

std::vector<TunableModule> tunable_modules(const ModelTraits& traits) {
  std::vector<TunableModule> modules;
  for (const ParameterSpec& spec : whole_model(traits)) {
    if (spec.is_vector || !spec.name.starts_with("layers.")) continue;
    const std::string path = module_path(spec);
    if (modules.empty() || modules.back().path != path) {
      modules.push_back({path, {}, spec.hf.file_rows, spec.cols});
    }
    modules.back().weights.push_back(spec.name);
  }
  return modules;
}

std::vector<TunableModule> adaptable_modules(const Tuning& tuning, const ModelTraits& traits) {
  std::vector<TunableModule> modules = tunable_modules(traits);
  if (tuning.method != TuningMethod::lora) return modules;
  for (const ParameterSpec& spec : whole_model(traits)) {
    if (spec.name != "embedding" && spec.name != "head") continue;
    modules.push_back({adapted_path(spec), {spec.name}, spec.rows, spec.cols});
  }
  return modules;
}

Status check_tuning(const Tuning& tuning, const ModelTraits& traits) {
  if (tuning.is_full()) return ok_status();
  const std::vector<TunableModule> modules = adaptable_modules(tuning, traits);
  std::vector<std::string> linear, all;
  for (const TunableModule& module : modules) linear.push_back(module.path);
  for (const ParameterSpec& spec : whole_model(traits)) {
    std::string path = module_path(spec);
    if (std::ranges::find(all, path) == all.end()) all.push_back(std::move(path));
  }
  COLLIE_TRY_VOID(
      check_targets("targets", tuning.targets, linear, short_names(linear), matches_module));
  COLLIE_TRY_VOID(check_targets("exclude_modules", tuning.exclude_modules, linear,
                                short_names(linear), matches_module));
  if (tuning.feedforward != std::vector{std::string(no_modules)}) {
    COLLIE_TRY_VOID(check_targets("feedforward", tuning.feedforward, linear, short_names(linear),
                                  matches_module));
  }
  COLLIE_TRY_VOID(check_targets("modules_to_save", tuning.modules_to_save, all, short_names(all),
                                saves_module));
  COLLIE_TRY_VOID(check_layers(tuning, modules, traits));
  return check_method(tuning, modules, traits);
}

}  // namespace collie
