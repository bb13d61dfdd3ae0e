#include <map>

#include "models/metrics/row_metric.hpp"

namespace collie {

namespace {

enum class Average { macro, micro, weighted };
const std::vector<std::string> average_names = {"macro", "micro", "weighted"};

constexpr std::size_t tags_max = 100'000;

struct Counts {
  std::int64_t true_positives = 0;
  std::int64_t predicted = 0;
  std::int64_t support = 0;  // how often it is the right one
};

struct Scores {
  double precision = 0.0;
  double recall = 0.0;
  double f_beta = 0.0;
};

double ratio(double part, double whole) {
  return whole > 0.0 ? part / whole : 0.0;
}

Scores scores_of(const Counts& counts, double beta) {
  const auto hits = static_cast<double>(counts.true_positives);
  const auto predicted = static_cast<double>(counts.predicted);
  const auto support = static_cast<double>(counts.support);
  const double beta_squared = beta * beta;
  return {ratio(hits, predicted), ratio(hits, support),
          ratio((1.0 + beta_squared) * hits, beta_squared * support + predicted)};
}

// Label and prediction of everything that counts in a sample.
using PairRow = std::vector<std::pair<std::int64_t, std::int64_t>>;

struct ClassificationOptions {
  Average average = Average::macro;
  double beta = 1.0;
  bool per_tag = false;
  std::vector<std::string> tags;
};

// Equal to scikit-learn's precision_recall_fscore_support with zero_division=0.
class Classification final : public RowMetric<PairRow> {
 public:
  explicit Classification(ClassificationOptions options)
      : RowMetric("classification"), options_(std::move(options)) {}

 private:
  Result<PairRow> row_of(const MetricSample& sample) const override {
    if (sample.labels.empty() || sample.labels.size() != sample.predicted_labels.size()) {
      return sample_error(sample, fmt::format("{} labels and {} predictions", sample.labels.size(),
                                              sample.predicted_labels.size()));
    }
    const auto tag_count = static_cast<std::int64_t>(options_.tags.size());
    PairRow row;
    for (std::size_t i = 0; i < sample.labels.size(); ++i) {
      if (sample.labels[i] < 0) continue;
      if (tag_count > 0 && std::max(sample.labels[i], sample.predicted_labels[i]) >= tag_count) {
        return sample_error(sample, fmt::format("a label beyond the {} tags", tag_count));
      }
      row.emplace_back(sample.labels[i], sample.predicted_labels[i]);
    }
    return row;
  }

  std::map<std::int64_t, Counts> counts_by_label() const {
    std::map<std::int64_t, Counts> counts;
    for (std::size_t tag = 0; tag < options_.tags.size(); ++tag) {
      counts[static_cast<std::int64_t>(tag)];
    }
    for (const auto& [index, row] : rows()) {
      for (const auto& [label, predicted] : row) {
        ++counts[label].support;
        if (predicted >= 0) ++counts[predicted].predicted;
        if (predicted == label) ++counts[label].true_positives;
      }
    }
    return counts;
  }

  Scores average(const std::map<std::int64_t, Counts>& counts) const {
    Counts all;
    for (const auto& [label, one] : counts) {
      all.true_positives += one.true_positives;
      all.predicted += one.predicted;
      all.support += one.support;
    }
    if (options_.average == Average::micro) return scores_of(all, options_.beta);
    const bool weighted = options_.average == Average::weighted;
    const double whole =
        weighted ? static_cast<double>(all.support) : static_cast<double>(counts.size());
    Scores mean;
    for (const auto& [label, one] : counts) {
      const Scores scores = scores_of(one, options_.beta);
      const double weight = weighted ? static_cast<double>(one.support) : 1.0;
      mean.precision += weight * scores.precision;
      mean.recall += weight * scores.recall;
      mean.f_beta += weight * scores.f_beta;
    }
    return {mean.precision / whole, mean.recall / whole, mean.f_beta / whole};
  }

  std::string tag_of(std::int64_t label) const {
    const auto place = static_cast<std::size_t>(label);
    return place < options_.tags.size() ? options_.tags[place] : std::to_string(label);
  }

  Result<std::vector<MetricValue>> values() const override {
    const std::map<std::int64_t, Counts> counts = counts_by_label();
    std::int64_t support = 0;
    for (const auto& [label, one] : counts) support += one.support;
    if (support == 0) {
      return make_error(ErrorCode::invalid_data,
                        "classification: no sample has a label that counts");
    }
    const Scores scores = average(counts);
    std::vector<MetricValue> all = {
        {"precision", scores.precision}, {"recall", scores.recall}, {"f_beta", scores.f_beta}};
    if (!options_.per_tag) return all;
    for (const auto& [label, one] : counts) {
      const Scores of_tag = scores_of(one, options_.beta);
      const std::string tag = tag_of(label);
      all.push_back({"precision/" + tag, of_tag.precision});
      all.push_back({"recall/" + tag, of_tag.recall});
      all.push_back({"f_beta/" + tag, of_tag.f_beta});
      all.push_back({"support/" + tag, static_cast<double>(one.support)});
    }
    return all;
  }

  ClassificationOptions options_;
};

}  // namespace

MadeMetric make_classification(const JsonReader& options) {
  ClassificationOptions read;
  COLLIE_TRY(const std::size_t average, metric_choice(options, "average", average_names, 0));
  read.average = static_cast<Average>(average);
  COLLIE_TRY(read.beta, options.optional_number("beta", 1.0, 1e-3, 1e3));
  COLLIE_TRY(read.per_tag, options.optional_bool("per_tag", false));
  if (options.has("tags")) {
    COLLIE_TRY(read.tags, options.get_strings("tags"));
    if (read.tags.size() > tags_max) {
      return options.error("tags", fmt::format("more than {} names", tags_max));
    }
  }
  return std::unique_ptr<Metric>(std::make_unique<Classification>(std::move(read)));
}

}  // namespace collie
