#include <algorithm>
#include <array>

#include "models/metrics/row_metric.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

struct MetricKind {
  std::string_view name;
  MadeMetric (*make)(const JsonReader& options);
};

constexpr std::array<MetricKind, 7> known_metrics = {{
    {"accuracy", make_accuracy},
    {"perplexity", make_perplexity},
    {"bleu", make_bleu},
    {"rouge", make_rouge},
    {"classification", make_classification},
    {"exact_match", make_exact_match},
    {"decode", make_decode},
}};

}  // namespace

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const MetricKind& kind : known_metrics) names.emplace_back(kind.name);
  return names;
}

Result<std::size_t> metric_choice(const JsonReader& options, std::string_view key,
                                  std::span<const std::string> names, std::size_t otherwise) {
  COLLIE_TRY(const std::string name, options.optional_string(key, names[otherwise]));
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  return options.error(key, fmt::format("unknown name {}, only {}{}", quoted_name(name),
                                        fmt::join(names, ", "), did_you_mean(name, names)));
}

Result<std::unique_ptr<Metric>> make_metric(std::string_view name, const Json& options,
                                            std::string_view source) {
  const auto kind = std::find_if(known_metrics.begin(), known_metrics.end(),
                                 [&](const MetricKind& one) { return one.name == name; });
  if (kind == known_metrics.end()) {
    const std::vector<std::string> names = metric_names();
    return make_error(ErrorCode::invalid_config, "{}: unknown metric {}, only {}{}", source,
                      quoted_name(name), fmt::join(names, ", "), did_you_mean(name, names));
  }
  const Json object = options.is_null() ? Json::object() : options;
  COLLIE_TRY(
      const JsonReader reader,
      JsonReader::open(object, std::string(source), std::string(name), ErrorCode::invalid_config));
  COLLIE_TRY(std::unique_ptr<Metric> metric, kind->make(reader));
  COLLIE_TRY_VOID(reader.refuse_unknown_keys());
  return metric;
}

}  // namespace collie
