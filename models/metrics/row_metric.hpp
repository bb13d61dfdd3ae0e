// What all metrics share: one row a sample, in the order of the evaluation set.
#pragma once

#include <map>

#include "models/metrics/metric.hpp"

namespace collie {

template <class Row>
class RowMetric : public Metric {
 public:
  explicit RowMetric(std::string name) : name_(std::move(name)) {}

  Status update(std::span<const MetricSample> batch) final {
    for (const MetricSample& sample : batch) {
      COLLIE_CHECK(sample.index >= 0, "a sample without its place in the evaluation set");
      if (rows_.contains(sample.index)) continue;
      COLLIE_TRY(Row row, row_of(sample));
      rows_.emplace(sample.index, std::move(row));
    }
    return ok_status();
  }

  void merge(const Metric& other) final {
    const auto* same = dynamic_cast<const RowMetric*>(&other);
    COLLIE_CHECK(same != nullptr && same->name_ == name_, "{}: merge with another metric", name_);
    rows_.insert(same->rows_.begin(), same->rows_.end());
  }

  Result<std::vector<MetricValue>> result() const final {
    if (rows_.empty()) {
      return make_error(ErrorCode::invalid_data,
                        "{}: the evaluation set is empty; name files that hold samples", name_);
    }
    return values();
  }

  void reset() final { rows_.clear(); }
  std::int64_t sample_count() const final { return static_cast<std::int64_t>(rows_.size()); }

 protected:
  virtual Result<Row> row_of(const MetricSample& sample) const = 0;
  virtual Result<std::vector<MetricValue>> values() const = 0;  // there is at least one row
  const std::map<std::int64_t, Row>& rows() const { return rows_; }

  // "rouge: sample 3: <what>"
  Error sample_error(const MetricSample& sample, std::string_view what,
                     ErrorCode code = ErrorCode::invalid_data) const {
    return make_error(code, "{}: sample {}: {}", name_, sample.index, what);
  }
  Status require_references(const MetricSample& sample) const {
    if (!sample.references.empty()) return ok_status();
    return sample_error(sample, "has no reference; the data needs an expected output");
  }

 private:
  std::string name_;
  std::map<std::int64_t, Row> rows_;
};

using MadeMetric = Result<std::unique_ptr<Metric>>;

// The name of a choice as an index into names.
Result<std::size_t> metric_choice(const JsonReader& options, std::string_view key,
                                  std::span<const std::string> names, std::size_t otherwise);

// One factory a metric. They read their options only; unknown ones are refused afterwards.
MadeMetric make_accuracy(const JsonReader& options);
MadeMetric make_perplexity(const JsonReader& options);
MadeMetric make_bleu(const JsonReader& options);
MadeMetric make_rouge(const JsonReader& options);
MadeMetric make_classification(const JsonReader& options);
MadeMetric make_exact_match(const JsonReader& options);
MadeMetric make_decode(const JsonReader& options);

}  // namespace collie
