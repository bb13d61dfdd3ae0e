#include <cmath>

#include "models/metrics/row_metric.hpp"

namespace collie {

namespace {

struct LossRow {
  double loss_sum = 0.0;
  std::int64_t valid_tokens = 0;
};

// exp of the mean over all valid tokens, not a mean over batches, whose weights would depend on how
// the data was cut.
class Perplexity final : public RowMetric<LossRow> {
 public:
  Perplexity() : RowMetric("perplexity") {}

 private:
  Result<LossRow> row_of(const MetricSample& sample) const override {
    if (sample.valid_tokens < 0) return sample_error(sample, "a negative number of tokens");
    if (!std::isfinite(sample.loss_sum)) {
      return sample_error(sample, "its loss is not a finite number", ErrorCode::non_finite);
    }
    return LossRow{sample.loss_sum, sample.valid_tokens};
  }

  Result<std::vector<MetricValue>> values() const override {
    LossRow sum;
    for (const auto& [index, row] : rows()) {
      sum.loss_sum += row.loss_sum;
      sum.valid_tokens += row.valid_tokens;
    }
    if (sum.valid_tokens == 0) {
      return make_error(ErrorCode::invalid_data, "perplexity: no token has a label that counts");
    }
    const auto tokens = static_cast<double>(sum.valid_tokens);
    const double loss = sum.loss_sum / tokens;
    return std::vector<MetricValue>{
        {"loss", loss}, {"perplexity", std::exp(loss)}, {"tokens", tokens}};
  }
};

}  // namespace

MadeMetric make_perplexity(const JsonReader&) {
  return std::unique_ptr<Metric>(std::make_unique<Perplexity>());
}

}  // namespace collie
