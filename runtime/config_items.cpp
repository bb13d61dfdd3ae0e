// Lists of objects in a configuration: what an item of each is, and how one is read.
#include <algorithm>
#include <memory>

#include "runtime/config_field_makers.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie::config {
namespace {

constexpr double source_weight_max = 1e6;
constexpr std::size_t sources_max = 4096;
constexpr bool no_default = false;

const Field* key_of(const std::vector<Field>& fields, std::string_view key) {
  const auto found = std::ranges::find(fields, key, &Field::path);
  return found == fields.end() ? nullptr : &*found;
}

std::vector<std::string> key_names(const std::vector<Field>& fields) {
  std::vector<std::string> names;
  for (const Field& field : fields) names.emplace_back(field.path);
  return names;
}

std::string item_expectation(const ItemList& list) {
  return fmt::format("{}an object {{{}}}", list.shorthand.empty() ? "" : "a string or ",
                     fmt::join(key_names(list.shape()), ", "));
}

Fault unknown_item_key(std::string_view key, const std::vector<Field>& fields) {
  const std::vector<std::string> names = key_names(fields);
  const std::string nearest = did_you_mean(key, names);
  return {"", fmt::format(
                  "unknown key {}{}", quoted_name(key),
                  nearest.empty() ? fmt::format("; known: {}", fmt::join(names, ", ")) : nearest)};
}

std::optional<Fault> read_key(const ItemList& list, const Field& field, const Json& json) {
  const std::string place = fmt::format(".{}", field.path);
  if (auto fault = read_value(field, json)) {
    return Fault{place + fault->place, std::move(fault->message)};
  }
  if (!json.is_string()) return std::nullopt;
  const auto& text = json.get_ref<const std::string&>();
  const bool is_required = std::ranges::find(list.required, field.path) != list.required.end();
  if (is_required && text.empty()) return Fault{place, "expected a string that is not empty"};
  if (list.text_bytes_max > 0 && text.size() > list.text_bytes_max) {
    return Fault{
        place, fmt::format("expected at most {} bytes, got {}", list.text_bytes_max, text.size())};
  }
  return std::nullopt;
}

std::optional<Fault> read_item(const ItemList& list, const Json& json) {
  if (json.is_string() && !list.shorthand.empty()) {
    const std::vector<Field> fields = list.append(json);
    auto fault = read_key(list, *key_of(fields, list.shorthand), json);
    if (fault) fault->place.clear();
    return fault;
  }
  if (!json.is_object()) {
    return Fault{"",
                 fmt::format("expected {}, got {}", item_expectation(list), describe_json(json))};
  }
  const std::vector<Field> fields = list.append(json);
  for (const auto& [key, value] : json.items()) {
    const Field* field = key_of(fields, key);
    if (field == nullptr && list.open) continue;
    if (field == nullptr) return unknown_item_key(key, fields);
    if (value.is_null()) continue;  // as if it were not there
    if (auto fault = read_key(list, *field, value)) return fault;
  }
  for (const std::string_view key : list.required) {
    const auto found = json.find(std::string(key));
    if (found == json.end() || found->is_null()) return Fault{"", fmt::format("has no {}", key)};
  }
  return std::nullopt;
}

// ---- what an item is

std::vector<Field> source_keys(DataSource& source) {
  return {
      {"path", &source.path, "a file, or a directory that \"tokenize\" wrote"},
      {"weight", Number{&source.weight, 0.0, source_weight_max, true},
       "its share of the rows, relative to the others; 1 where only others have one", no_default},
      {"name", &source.name, "in reports; empty: the last part of the path"}};
}

std::vector<Field> group_keys(ParameterGroup& group) {
  return {
      {"pattern", &group.pattern,
       "* for any text, ? for one character, of our name or the one in Hugging Face files"},
      {"lr_scale", Number{&group.lr_scale, 0.0, 1e6}, "factor of the learning rate"},
      {"weight_decay", OptionalNumber{&group.weight_decay, 0.0, 100.0}, "null: the optimizer's"},
      {"beta1", OptionalNumber{&group.beta1, 0.0, 1.0, false, true}, "null: the optimizer's"},
      {"beta2", OptionalNumber{&group.beta2, 0.0, 1.0, false, true}, "null: the optimizer's"}};
}

// Whoever makes evaluators reads the JSON; here it is only checked.
struct EvaluatorKeys {
  std::string name, type = "perplexity", style = "harness", metric = "accuracy";
  std::vector<std::string> data;
  std::int64_t every_steps = 0, max_samples = 0, max_new_tokens = 1;
  bool end_options = false;
  double temperature = 0.0;
  std::string target_key = "target";
  std::string other_key;
};

ItemList metric_items(EvaluatorKeys& keys) {
  const auto fields = [&keys] {
    return std::vector<Field>{{"name",
                               choice(keys.metric, {"accuracy", "perplexity", "bleu", "rouge",
                                                    "classification", "exact_match", "decode"}),
                               "metric; the other keys are its options"}};
  };
  ItemList list{.most = limits::evaluators_max,
                .required = {"name"},
                .shorthand = "name",
                .bare = true,
                .open = true};
  list.clear = [] {};
  list.append = [fields](const Json&) { return fields(); };
  list.shape = fields;
  list.get = [] { return Json(); };
  return list;
}

std::vector<Field> evaluator_keys(EvaluatorKeys& keys) {
  const auto key_name = [&](std::string_view key) {
    return Field{key, &keys.other_key, "name of this field in the records; otherwise data.*_key's",
                 no_default};
  };
  return {{"name", &keys.name, "in reports and metrics; otherwise the type", no_default},
          {"type", choice(keys.type, {"perplexity", "classification", "generation"}),
           "what the model is asked for"},
          {"data", &keys.data, "files of samples"},
          {"metrics", metric_items(keys), "what answers are measured with; otherwise the type's",
           no_default},
          {"every_steps", integer(keys.every_steps, 0),
           "steps between evaluations; 0: eval.every_steps or eval.every_epochs"},
          {"max_samples", integer(keys.max_samples, 0), "0: all"},
          {"style", choice(keys.style, {"harness", "helm"}),
           "classification: by the likelihood of each option, or by the text that is written"},
          {"end_options", &keys.end_options,
           "classification: the end of text is a part of each option"},
          {"max_new_tokens", integer(keys.max_new_tokens, 1, limits::new_tokens_max),
           "of an answer that is written; generation 64, helm 8", no_default},
          {"temperature", Number{&keys.temperature, 0.0, 100.0},
           "of answers that are written; 0: always the most likely token"},
          {"target_key", &keys.target_key, "classification: name of the right answer's field"},
          key_name("text_key"),
          key_name("instruction_key"),
          key_name("input_key"),
          key_name("output_key"),
          key_name("messages_key")};
}

// The parts that lists of structs have in common.
template <class T>
void bind_items(ItemList& list, std::vector<T>& items, std::vector<Field> (*keys)(T&)) {
  const auto scratch = std::make_shared<T>();
  list.clear = [&items] { items.clear(); };
  list.append = [&items, keys](const Json&) { return keys(items.emplace_back()); };
  list.shape = [scratch, keys] { return keys(*scratch); };
}

Json source_json(const DataSource& source) {
  if (source.weight == 0.0 && source.name.empty()) return source.path;
  Json entry = {{"path", source.path}};
  if (source.weight > 0.0) entry["weight"] = source.weight;
  if (!source.name.empty()) entry["name"] = source.name;
  return entry;
}

Json group_json(const ParameterGroup& group) {
  Json json = {{"pattern", group.pattern}, {"lr_scale", group.lr_scale}};
  if (group.weight_decay) json["weight_decay"] = *group.weight_decay;
  if (group.beta1) json["beta1"] = *group.beta1;
  if (group.beta2) json["beta2"] = *group.beta2;
  return json;
}

template <class T>
Json json_of_items(const std::vector<T>& items, Json (*one)(const T&)) {
  Json list = Json::array();
  for (const T& item : items) list.push_back(one(item));
  return list;
}

}  // namespace

ItemList data_sources(std::vector<DataSource>& sources) {
  ItemList list{.most = sources_max, .required = {"path"}, .shorthand = "path", .bare = true};
  bind_items(list, sources, source_keys);
  list.get = [&sources] { return json_of_items(sources, source_json); };
  return list;
}

ItemList parameter_groups(std::vector<ParameterGroup>& groups) {
  ItemList list{.most = limits::parameter_groups_max,
                .required = {"pattern"},
                .text_bytes_max = limits::group_pattern_bytes_max};
  bind_items(list, groups, group_keys);
  list.get = [&groups] { return json_of_items(groups, group_json); };
  return list;
}

ItemList evaluator_items(Json& evaluators) {
  ItemList list{.most = limits::evaluators_max, .required = {"type", "data"}};
  const auto scratch = std::make_shared<EvaluatorKeys>();
  list.clear = [&evaluators] { evaluators = Json::array(); };
  list.append = [&evaluators, scratch](const Json& item) {
    evaluators.push_back(item);
    *scratch = {};
    return evaluator_keys(*scratch);
  };
  list.shape = [scratch] {
    *scratch = {};
    return evaluator_keys(*scratch);
  };
  list.get = [&evaluators] { return evaluators; };
  return list;
}

std::optional<Fault> read_items(const ItemList& list, const Json& json) {
  list.clear();
  if (list.bare && !json.is_array()) {
    const bool fits = json.is_string() || json.is_object();
    if (fits) return read_item(list, json);
  }
  if (!json.is_array() || json.size() > list.most) {
    return Fault{
        "", fmt::format("expected {}, got {}", expectation_of_items(list), describe_json(json))};
  }
  for (std::size_t i = 0; i < json.size(); ++i) {
    auto fault = read_item(list, json[i]);
    if (fault) return Fault{fmt::format("[{}]{}", i, fault->place), std::move(fault->message)};
  }
  return std::nullopt;
}

std::string expectation_of_items(const ItemList& list) {
  return fmt::format("{}a list of at most {}, each {}",
                     list.bare ? item_expectation(list) + ", or " : "", list.most,
                     list.bare ? "such" : item_expectation(list));
}

}  // namespace collie::config
