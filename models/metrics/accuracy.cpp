#include <algorithm>
#include <cmath>

#include "models/metrics/row_metric.hpp"

namespace collie {

namespace {

struct AccuracyRow {
  std::int64_t correct = 0;
  std::int64_t correct_normalized = 0;
  std::int64_t total = 0;
  bool has_options = false;
};

// The first of the greatest.
std::int64_t place_of_greatest(const std::vector<double>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

class Accuracy final : public RowMetric<AccuracyRow> {
 public:
  Accuracy() : RowMetric("accuracy") {}

 private:
  Result<AccuracyRow> row_of(const MetricSample& sample) const override {
    if (!sample.option_log_likelihoods.empty()) return row_of_options(sample);
    if (sample.labels.empty() || sample.labels.size() != sample.predicted_labels.size()) {
      return sample_error(sample, fmt::format("{} labels and {} predictions", sample.labels.size(),
                                              sample.predicted_labels.size()));
    }
    AccuracyRow row;
    for (std::size_t i = 0; i < sample.labels.size(); ++i) {
      if (sample.labels[i] < 0) continue;
      ++row.total;
      if (sample.labels[i] == sample.predicted_labels[i]) ++row.correct;
    }
    return row;
  }

  Result<AccuracyRow> row_of_options(const MetricSample& sample) const {
    const std::vector<double>& options = sample.option_log_likelihoods;
    const auto count = static_cast<std::int64_t>(options.size());
    if (sample.labels.size() != 1 || sample.labels[0] < 0 || sample.labels[0] >= count) {
      return sample_error(sample, fmt::format("the right one of {} options is not named", count));
    }
    if (sample.option_lengths.size() != options.size()) {
      return sample_error(
          sample, fmt::format("{} lengths of {} options", sample.option_lengths.size(), count));
    }
    std::vector<double> normalized;
    for (std::size_t i = 0; i < options.size(); ++i) {
      if (std::isnan(options[i])) {
        return sample_error(sample, "a likelihood is not a number", ErrorCode::non_finite);
      }
      if (!(sample.option_lengths[i] > 0.0)) return sample_error(sample, "an option is empty");
      normalized.push_back(options[i] / sample.option_lengths[i]);
    }
    const std::int64_t right = sample.labels[0];
    return AccuracyRow{place_of_greatest(options) == right, place_of_greatest(normalized) == right,
                       1, true};
  }

  Result<std::vector<MetricValue>> values() const override {
    AccuracyRow sum;
    std::int64_t samples_with_options = 0;
    for (const auto& [index, row] : rows()) {
      sum.correct += row.correct;
      sum.correct_normalized += row.correct_normalized;
      sum.total += row.total;
      samples_with_options += row.has_options ? 1 : 0;
    }
    if (samples_with_options > 0 && samples_with_options != sample_count()) {
      return make_error(ErrorCode::invalid_data,
                        "accuracy: {} of {} samples have options; evaluate the two kinds apart",
                        samples_with_options, sample_count());
    }
    if (sum.total == 0) {
      return make_error(ErrorCode::invalid_data, "accuracy: no sample has a label that counts");
    }
    const auto total = static_cast<double>(sum.total);
    std::vector<MetricValue> all = {{"acc", static_cast<double>(sum.correct) / total}};
    if (samples_with_options > 0) {
      all.push_back({"acc_norm", static_cast<double>(sum.correct_normalized) / total});
    }
    all.push_back({"correct", static_cast<double>(sum.correct)});
    all.push_back({"total", total});
    return all;
  }
};

}  // namespace

MadeMetric make_accuracy(const JsonReader&) {
  return std::unique_ptr<Metric>(std::make_unique<Accuracy>());
}

}  // namespace collie
