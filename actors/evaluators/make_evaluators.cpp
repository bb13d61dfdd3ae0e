#include <algorithm>
#include <array>
#include <set>

#include "actors/evaluators/options.hpp"
#include "actors/run_setup.hpp"
#include "models/peft/tuning.hpp"
#include "runtime/file.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

const std::vector<std::string> type_names = {"perplexity", "classification", "generation"};
const std::vector<std::string> style_names = {"harness", "helm"};
constexpr std::int64_t count_max = std::int64_t{1} << 53;

// What each type's samples can be measured with; the first is the default.
std::vector<std::string> metrics_of(const EvaluatorOptions& options) {
  if (options.type == "perplexity") return {"perplexity"};
  if (options.type == "generation") return {"exact_match", "bleu", "rouge", "decode"};
  if (options.set.style == ClassificationStyle::helm) {
    return {"accuracy", "classification", "decode"};
  }
  return {"accuracy", "classification"};
}

Result<std::string> one_of(const JsonReader& reader, std::string_view key, std::string name,
                           const std::vector<std::string>& known) {
  if (std::ranges::find(known, name) != known.end()) return name;
  return reader.error(key, fmt::format("unknown name {}, only {}{}", quoted_name(name),
                                       fmt::join(known, ", "), did_you_mean(name, known)));
}

Status read_files(const JsonReader& reader, EvaluatorOptions& options) {
  const Json* files = reader.find("data");
  if (files == nullptr) return reader.error("data", "name the files to evaluate with");
  if (files->is_string()) {
    options.data.validation = {files->get<std::string>()};
    return ok_status();
  }
  COLLIE_TRY(options.data.validation, reader.get_strings("data"));
  if (!options.data.validation.empty()) return ok_status();
  return reader.error("data", "an empty list; name the files to evaluate with");
}

Status read_keys(const JsonReader& reader, DataSection& data) {
  for (auto& [key, name] : {std::pair<std::string_view, std::string*>{"text_key", &data.text_key},
                            {"instruction_key", &data.instruction_key},
                            {"input_key", &data.input_key},
                            {"output_key", &data.output_key},
                            {"messages_key", &data.messages_key}}) {
    COLLIE_TRY(*name, reader.optional_string(key, *name));
    if (name->empty()) return reader.error(key, "a field's name is empty");
  }
  return ok_status();
}

Result<NamedMetric> read_metric(const Json& entry, const std::vector<std::string>& fitting,
                                const JsonReader& reader, const std::string& where) {
  if (!entry.is_string() && !(entry.is_object() && entry.contains("name"))) {
    return reader.error("metrics", "expected names or objects with a name");
  }
  const Json& name = entry.is_string() ? entry : entry.at("name");
  if (!name.is_string()) return reader.error("metrics", "expected names or objects with a name");
  NamedMetric metric{name.get<std::string>(), nullptr};
  const std::vector<std::string> known = metric_names();
  if (std::ranges::find(known, metric.name) != known.end() &&
      std::ranges::find(fitting, metric.name) == fitting.end()) {
    return reader.error("metrics", fmt::format("{} cannot be measured here, only {}", metric.name,
                                               fmt::join(fitting, ", ")));
  }
  Json options = entry.is_object() ? entry : Json::object();
  options.erase("name");
  COLLIE_TRY(metric.metric, make_metric(metric.name, options, where + ".metrics"));
  return metric;
}

Result<MetricList> read_metrics(const JsonReader& reader, const EvaluatorOptions& options,
                                const std::string& where) {
  const std::vector<std::string> fitting = metrics_of(options);
  const Json* given = reader.find("metrics");
  const Json otherwise = Json::array({fitting.front()});
  if (given == nullptr) given = &otherwise;
  const Json list = given->is_array() ? *given : Json::array({*given});
  if (list.empty()) return reader.error("metrics", "an empty list");
  MetricList metrics;
  std::set<std::string> names;
  for (const Json& entry : list) {
    COLLIE_TRY(NamedMetric metric, read_metric(entry, fitting, reader, where));
    if (!names.insert(metric.name).second) {
      return reader.error("metrics", fmt::format("{} stands there twice", metric.name));
    }
    metrics.push_back(std::move(metric));
  }
  return metrics;
}

Status read_options(const JsonReader& reader, const RunSetup& setup, EvaluatorOptions& options) {
  COLLIE_TRY(options.type, reader.get_string("type"));
  COLLIE_TRY(options.type, one_of(reader, "type", options.type, type_names));
  COLLIE_TRY(options.name, reader.optional_string("name", options.type));
  if (!safe_component(options.name) || options.name.find('#') != std::string::npos) {
    return reader.error("name", "expected a name of letters, digits, - and _");
  }
  options.data = setup.config.data;
  options.data.validation_fraction = 0.0;
  // Questions and prompts are records, whatever the training data is.
  const bool is_text = options.data.format == DataFormat::text && options.type != "perplexity";
  if (is_text) options.data.format = DataFormat::automatic;
  COLLIE_TRY_VOID(read_files(reader, options));
  COLLIE_TRY_VOID(read_keys(reader, options.data));
  COLLIE_TRY(options.data.max_records, reader.optional_int("max_samples", 0, 0, count_max));
  COLLIE_TRY(options.every_steps, reader.optional_int("every_steps", 0, 0, count_max));
  COLLIE_TRY(std::string style, reader.optional_string("style", "harness"));
  COLLIE_TRY(style, one_of(reader, "style", style, style_names));
  const bool writes = style == "helm" || options.type == "generation";
  EvaluationSetOptions& set = options.set;
  set.style = style == "helm" ? ClassificationStyle::helm : ClassificationStyle::harness;
  // Rounds of the grid are planned for rows of this length; what writes on has caches.
  const std::int64_t most =
      writes ? setup.model.traits.context_length : options.data.sequence_length;
  set.max_length = std::max<std::int64_t>(1, most - tokens_before(setup.model.tuning.get()));
  set.vocabulary_size = setup.model.traits.vocabulary_size;
  COLLIE_TRY(set.end_options, reader.optional_bool("end_options", false));
  COLLIE_TRY(set.target_key, reader.optional_string("target_key", "target"));
  const std::int64_t usual = options.type == "generation" ? 64 : 8;
  COLLIE_TRY(const std::int64_t new_tokens,
             reader.optional_int("max_new_tokens", usual, 1, limits::new_tokens_max));
  set.max_new_tokens = writes ? new_tokens : 0;
  COLLIE_TRY(options.temperature, reader.optional_number("temperature", 0.0, 0.0, 100.0));
  options.directory =
      join_path(join_path(setup.config.output.directory, "evaluations"), options.name);
  return ok_status();
}

Result<std::shared_ptr<Evaluator>> make_perplexity(const EvaluatorOptions& options,
                                                   const RunSetup& setup,
                                                   const TextEncoder& encoder) {
  const DatasetOptions dataset{setup.config.train.seed, setup.model.traits.context_length,
                               setup.model.traits.vocabulary_size,
                               tokens_before(setup.model.tuning.get())};
  COLLIE_TRY(Dataset data, open_validation_data(options.data, encoder, dataset));
  return make_perplexity_evaluator(options.name, std::make_shared<const Dataset>(std::move(data)),
                                   0, options.every_steps);
}

Result<std::shared_ptr<Evaluator>> make_evaluator(const Json& json, const std::string& where,
                                                  const RunSetup& setup) {
  COLLIE_TRY(const JsonReader reader, JsonReader::open(json, where, "", ErrorCode::invalid_config));
  EvaluatorOptions options;
  COLLIE_TRY_VOID(read_options(reader, setup, options));
  COLLIE_TRY(MetricList metrics, read_metrics(reader, options, where));
  COLLIE_TRY_VOID(reader.refuse_unknown_keys());
  COLLIE_TRY(const auto encoder, make_text_encoder(*setup.tokenizer, options.data));
  if (options.type == "perplexity") return make_perplexity(options, setup, *encoder);
  const auto make =
      options.type == "generation" ? make_generation_evaluator : make_classification_evaluator;
  return make(std::move(options), std::move(metrics), *encoder);
}

}  // namespace

Result<EvaluatorList> make_evaluators(const RunSetup& setup) {
  EvaluatorList evaluators;
  std::set<std::string> names;
  if (setup.validation_data) names.insert("validation");
  const Json& entries = setup.config.eval.evaluators;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::string where = fmt::format("eval.evaluators[{}]", i);
    COLLIE_TRY(std::shared_ptr<Evaluator> evaluator, make_evaluator(entries[i], where, setup));
    if (!names.insert(evaluator->name()).second) {
      return make_error(ErrorCode::invalid_config,
                        "{}.name: there is another evaluator named {}; give each a name of its own",
                        where, evaluator->name());
    }
    evaluators.push_back(std::move(evaluator));
  }
  return evaluators;
}

}  // namespace collie
