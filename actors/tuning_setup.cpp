#include "actors/tuning_setup.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <type_traits>

#include "models/peft/adapter_base.hpp"
#include "models/peft/adapter_files.hpp"
#include "models/peft/merge.hpp"
#include "runtime/hash.hpp"
#include "runtime/limits.hpp"
#include "runtime/safetensors.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::array<std::pair<std::string_view, TuningMethod>, 7> methods = {{
    {"full", TuningMethod::full},
    {"lora", TuningMethod::lora},
    {"ia3", TuningMethod::ia3},
    {"prefix", TuningMethod::prefix},
    {"prompt", TuningMethod::prompt},
    {"p_tuning", TuningMethod::p_tuning},
    {"houlsby", TuningMethod::houlsby},
}};

std::string_view name_of(TuningMethod method) {
  return std::ranges::find(methods, method, &std::pair<std::string_view, TuningMethod>::second)
      ->first;
}

std::string_view name_of(TunedBiases biases) {
  if (biases == TunedBiases::all) return "all";
  return biases == TunedBiases::none ? "none" : "lora_only";
}

std::string_view name_of(LoraStart start) {
  return start == LoraStart::gaussian ? "gaussian" : "kaiming";
}

bool given(const Json& object) {
  return object.is_object() && !object.empty();
}

template <class Value>
std::string pattern_text(const std::vector<std::pair<std::string, Value>>& pattern) {
  std::vector<std::string> items;
  for (const auto& [name, value] : pattern) items.push_back(fmt::format("{}: {}", name, value));
  return fmt::format("{}", fmt::join(items, ", "));
}

// "3", "4-7": from 0 on.
Result<std::vector<std::int64_t>> read_layers(const std::vector<std::string>& items) {
  std::vector<std::int64_t> layers;
  for (const std::string& item : items) {
    std::int64_t first = -1, last = -1;
    const char* end = item.data() + item.size();
    std::from_chars_result read = std::from_chars(item.data(), end, first);
    last = first;
    if (read.ec == std::errc() && read.ptr != end && *read.ptr == '-') {
      read = std::from_chars(read.ptr + 1, end, last);
    }
    const bool is_range = read.ec == std::errc() && read.ptr == end && 0 <= first && first <= last;
    if (!is_range || last >= limits::layers_max) {
      return make_error(ErrorCode::invalid_config,
                        "tuning.layers: {} is neither a number nor a range as 4-7",
                        quoted_name(item));
    }
    for (std::int64_t layer = first; layer <= last; ++layer) {
      if (std::ranges::find(layers, layer) == layers.end()) layers.push_back(layer);
    }
  }
  return layers;
}

// {module: number} of the section's, over what there is.
template <class Value>
Status read_pattern(std::string_view key, const Json& object, Value low, Value high,
                    std::vector<std::pair<std::string, Value>>& pattern) {
  if (!given(object)) return ok_status();
  pattern.clear();
  for (const auto& [name, value] : object.items()) {
    const bool fits = std::is_integral_v<Value> ? value.is_number_integer() : value.is_number();
    if (!fits || value.template get<double>() < static_cast<double>(low) ||
        value.template get<double>() > static_cast<double>(high)) {
      return make_error(ErrorCode::invalid_config, "tuning.{}.{}: must be {} from {} to {}", key,
                        name, std::is_integral_v<Value> ? "an integer" : "a number", low, high);
    }
    pattern.emplace_back(name, value.template get<Value>());
  }
  return ok_status();
}

std::string in_order(std::vector<std::string> names) {
  std::ranges::sort(names);
  return fmt::format("{}", fmt::join(names, ", "));
}

// A key of the section: whether it is given, which methods have it, what it comes to.
struct Key {
  std::string_view name;
  bool is_given = false;
  std::vector<TuningMethod> methods;
  std::string value;
};

std::vector<Key> keys_of(const TuningSection& section, const Tuning& tuning) {
  using enum TuningMethod;
  const auto number = [](auto value) { return fmt::format("{}", value); };
  return {
      {"method", section.method != "auto", {}, std::string(name_of(tuning.method))},
      {"rank", section.rank > 0, {lora}, number(tuning.rank)},
      {"alpha", section.alpha.has_value(), {lora}, number(tuning.alpha)},
      {"dropout", section.dropout.has_value(), {lora}, number(tuning.dropout)},
      {"targets", !section.targets.empty(), {lora, ia3}, in_order(tuning.targets)},
      {"modules_to_save", !section.modules_to_save.empty(), {}, in_order(tuning.modules_to_save)},
      {"exclude_modules",
       !section.exclude_modules.empty(),
       {lora, ia3},
       in_order(tuning.exclude_modules)},
      {"layers",
       !section.layers.empty(),
       {lora, ia3},
       fmt::format("{}", fmt::join(tuning.layers, ", "))},
      {"rank_pattern", given(section.rank_pattern), {lora}, pattern_text(tuning.rank_pattern)},
      {"alpha_pattern", given(section.alpha_pattern), {lora}, pattern_text(tuning.alpha_pattern)},
      {"init", section.init != "auto", {lora}, std::string(name_of(tuning.start))},
      {"rslora", section.rslora.has_value(), {lora}, number(tuning.rslora)},
      {"dora", section.dora.has_value(), {lora}, number(tuning.dora)},
      {"bias", section.bias != "auto", {lora}, std::string(name_of(tuning.biases))},
      {"virtual_tokens",
       section.virtual_tokens > 0,
       {prefix, prompt, p_tuning},
       number(tuning.virtual_tokens)},
      {"projection_size",
       section.projection_size > 0,
       {prefix, p_tuning},
       number(tuning.projection_size)},
      {"bottleneck", section.bottleneck > 0, {houlsby}, number(tuning.bottleneck)},
  };
}

TuningMethod method_of(const TuningSection& section, TuningMethod otherwise) {
  const auto* found = std::ranges::find(methods, std::string_view(section.method),
                                        &std::pair<std::string_view, TuningMethod>::first);
  return found == methods.end() ? otherwise : found->second;
}

// What the section gives, over what there is without it.
Result<Tuning> applied(const TuningSection& section, Tuning tuning) {
  tuning.method = method_of(section, tuning.method);
  if (section.rank > 0) tuning.rank = section.rank;
  tuning.alpha = section.alpha.value_or(tuning.alpha);
  tuning.dropout = section.dropout.value_or(tuning.dropout);
  if (!section.targets.empty()) tuning.targets = section.targets;
  if (!section.modules_to_save.empty()) tuning.modules_to_save = section.modules_to_save;
  if (!section.exclude_modules.empty()) tuning.exclude_modules = section.exclude_modules;
  if (!section.layers.empty()) {
    COLLIE_TRY(tuning.layers, read_layers(section.layers));
  }
  COLLIE_TRY_VOID(read_pattern<std::int64_t>("rank_pattern", section.rank_pattern, 1,
                                             limits::hidden_size_max, tuning.rank_pattern));
  COLLIE_TRY_VOID(
      read_pattern("alpha_pattern", section.alpha_pattern, 0.0, 1e6, tuning.alpha_pattern));
  if (section.init == "kaiming") tuning.start = LoraStart::kaiming;
  if (section.init == "gaussian") tuning.start = LoraStart::gaussian;
  tuning.rslora = section.rslora.value_or(tuning.rslora);
  tuning.dora = section.dora.value_or(tuning.dora);
  if (section.bias == "none") tuning.biases = TunedBiases::none;
  if (section.bias == "all") tuning.biases = TunedBiases::all;
  if (section.bias == "lora_only") tuning.biases = TunedBiases::lora_only;
  if (section.virtual_tokens > 0) tuning.virtual_tokens = section.virtual_tokens;
  if (section.projection_size > 0) tuning.projection_size = section.projection_size;
  if (section.bottleneck > 0) tuning.bottleneck = section.bottleneck;
  return tuning;
}

Status check_keys(const TuningSection& section, const Tuning& tuning) {
  for (const Key& key : keys_of(section, tuning)) {
    const bool is_of_all = key.methods.empty() && !tuning.is_full();
    if (!key.is_given || key.name == "method" || is_of_all) continue;
    if (std::ranges::find(key.methods, tuning.method) != key.methods.end()) continue;
    return make_error(ErrorCode::invalid_config,
                      "tuning.{}: is not of method {}; leave it out or set tuning.method", key.name,
                      name_of(tuning.method));
  }
  return ok_status();
}

// The adapter's own configuration rules.
Status check_contradictions(const TuningSection& section, const Tuning& adapter) {
  COLLIE_TRY(const Tuning changed, applied(section, adapter));
  const std::vector<Key> wanted = keys_of(section, changed);
  const std::vector<Key> there = keys_of(section, adapter);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i].is_given || wanted[i].value == there[i].value) continue;
    return make_error(ErrorCode::invalid_config,
                      "tuning.{}: {} contradicts {}, which has {}; leave it out", wanted[i].name,
                      wanted[i].value, section.adapter, there[i].value);
  }
  return ok_status();
}

Status check_merged(const Tuning& tuning, const ModelTraits& traits, int tp_size) {
  const Status mergeable = check_mergeable(tuning, traits, tp_size);
  if (mergeable) return ok_status();
  return make_error(ErrorCode::invalid_config, "tuning.save_merged: {}", mergeable.error().message);
}

}  // namespace

Result<std::shared_ptr<const Tuning>> choose_tuning(const RunConfig& config,
                                                    const ModelTraits& traits) {
  const TuningSection& section = config.tuning;
  Tuning tuning;
  if (section.adapter.empty()) {
    COLLIE_TRY(tuning, applied(section, Tuning{}));
    if (tuning.method == TuningMethod::p_tuning && section.projection_size == 0) {
      tuning.projection_size = traits.hidden_size;
    }
    COLLIE_TRY_VOID(check_keys(section, tuning));
    COLLIE_TRY_VOID(check_tuning(tuning, traits));
  } else {
    COLLIE_TRY(tuning, read_adapter_config(section.adapter, traits));
    COLLIE_TRY_VOID(check_contradictions(section, tuning));
    COLLIE_TRY_VOID(check_keys(section, tuning));
  }
  if (section.save_merged) COLLIE_TRY_VOID(check_merged(tuning, traits, config.grid.tp));
  if (tuning.is_full()) return std::shared_ptr<const Tuning>();
  tuning.seed = static_cast<std::uint64_t>(config.train.seed);
  return std::make_shared<const Tuning>(std::move(tuning));
}

Result<TunedBase> identify_base(const RunConfig& config, const Tuning& tuning,
                                const ModelTraits& traits) {
  TunedBase base;
  base.tuning = adapter_config_json(tuning, traits, "");
  if (config.model.is_fresh()) {
    base.hash = hash_bytes(std::as_bytes(
        std::span<const char>(fmt::format("{} {}", config.model.fresh.dump(), config.train.seed))));
    return base;
  }
  base.path = config.model.path;
  if (!config.tuning.adapter.empty()) {
    COLLIE_TRY_VOID(check_adapter_base(config.tuning.adapter, base.path));
  }
  COLLIE_TRY(const TensorDirectory files, TensorDirectory::open(base.path));
  Hash64 hash;
  for (const std::string& name : files.names()) {
    const LocatedTensor& located = *files.find(name);
    hash.update(name);
    hash.update(to_string(located.entry->dtype));
    hash.update(located.file->bytes(*located.entry));
    located.file->drop_pages(*located.entry);
  }
  base.hash = hash.value();
  return base;
}

Json to_json(const TunedBase& base) {
  return {{"path", base.path}, {"hash", hash_text(base.hash)}, {"tuning", base.tuning}};
}

Status check_base(const Json& saved, const TunedBase* now, const std::string& checkpoint) {
  constexpr std::string_view remedy =
      "set checkpoint.resume to never or choose another output.directory";
  if (!saved.is_object()) {
    if (now == nullptr) return ok_status();
    return make_error(ErrorCode::invalid_config,
                      "{}: holds a whole model, not an adapter as tuning.method asks for; {}",
                      checkpoint, remedy);
  }
  if (now == nullptr) {
    return make_error(ErrorCode::invalid_config,
                      "{}: holds an adapter alone, and tuning.method is full: give the tuning.* "
                      "keys that it was trained with (to evaluate, --adapter DIR does), or {}",
                      checkpoint, remedy);
  }
  const Json tuning = saved.value("tuning", Json::object());
  for (const auto& [key, value] : now->tuning.items()) {
    const auto found = tuning.is_object() ? tuning.find(key) : tuning.end();
    if (found != tuning.end() && *found == value) continue;
    return make_error(ErrorCode::invalid_config,
                      "{}: its adapter has {} {}, and tuning.* says {}; {}", checkpoint, key,
                      found == tuning.end() ? "null" : describe_json(*found), describe_json(value),
                      remedy);
  }
  if (saved.value("hash", Json()) == hash_text(now->hash)) return ok_status();
  return make_error(ErrorCode::invalid_config,
                    "{}: its adapter stands beside the model of {}, whose tensors were not those "
                    "of {}; use that model, or {}",
                    checkpoint, describe_json(saved.value("path", Json())),
                    now->path.empty() ? "model.fresh" : now->path, remedy);
}

}  // namespace collie
