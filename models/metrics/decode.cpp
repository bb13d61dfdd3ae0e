#include "models/metrics/row_metric.hpp"
#include "runtime/file.hpp"

namespace collie {

namespace {

struct DecodedRow {
  std::string prediction;
  std::vector<std::string> references;
};

// What the model wrote beside what it should have written, for people to read.
class Decode final : public RowMetric<DecodedRow> {
 public:
  explicit Decode(std::int64_t max_samples) : RowMetric("decode"), max_samples_(max_samples) {}

  // decode.jsonl: {"index", "prediction", "references"}, in the order of the evaluation set.
  Status save(const std::string& directory) const override {
    std::string text;
    std::int64_t written = 0;
    for (const auto& [index, row] : rows()) {
      if (max_samples_ > 0 && written++ == max_samples_) break;
      const Json line = {
          {"index", index}, {"prediction", row.prediction}, {"references", row.references}};
      text += dump_json(line, 0) + "\n";
    }
    return write_file_atomic(join_path(directory, "decode.jsonl"), text);
  }

 private:
  Result<DecodedRow> row_of(const MetricSample& sample) const override {
    return DecodedRow{sample.prediction, sample.references};
  }

  Result<std::vector<MetricValue>> values() const override {
    return std::vector<MetricValue>{{"samples", static_cast<double>(sample_count())}};
  }

  std::int64_t max_samples_;
};

}  // namespace

MadeMetric make_decode(const JsonReader& options) {
  COLLIE_TRY(const std::int64_t max_samples,
             options.optional_int("max_samples", 0, 0, std::int64_t{1} << 40));
  return std::unique_ptr<Metric>(std::make_unique<Decode>(max_samples));
}

}  // namespace collie
