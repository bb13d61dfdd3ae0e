#include <algorithm>

#include "models/metrics/rouge_score.hpp"
#include "models/metrics/row_metric.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

using metrics::RougeScore;
using metrics::Words;

const std::vector<std::string> known_types = {"rouge1", "rouge2", "rouge3",   "rouge4",
                                              "rouge5", "rouge6", "rouge7",   "rouge8",
                                              "rouge9", "rougeL", "rougeLsum"};
const std::vector<std::string> usual_types = {"rouge1", "rouge2", "rougeL", "rougeLsum"};

struct RougeText {
  Words words;
  std::vector<Words> sentences;
};

// Equal to rouge-score's RougeScorer.score_multi, averaged over the samples.
class Rouge final : public RowMetric<std::vector<RougeScore>> {
 public:
  Rouge(std::vector<std::string> types, bool stems)
      : RowMetric("rouge"), types_(std::move(types)), stems_(stems) {}

 private:
  RougeText text_of(const std::string& text) const {
    return {metrics::rouge_words(text, stems_), metrics::rouge_sentences(text, stems_)};
  }

  static Result<RougeScore> score(const std::string& type, const RougeText& reference,
                                  const RougeText& prediction) {
    if (type == "rougeL") return metrics::rouge_l(reference.words, prediction.words);
    if (type == "rougeLsum") return metrics::rouge_l_sum(reference.sentences, prediction.sentences);
    const auto n = static_cast<std::size_t>(type.back() - '0');
    return metrics::rouge_n(reference.words, prediction.words, n);
  }

  // Of several references the one with the greatest F counts, for each type on its own.
  Result<std::vector<RougeScore>> row_of(const MetricSample& sample) const override {
    COLLIE_TRY_VOID(require_references(sample));
    const RougeText prediction = text_of(sample.prediction);
    std::vector<RougeScore> best(types_.size());
    for (std::size_t r = 0; r < sample.references.size(); ++r) {
      const RougeText reference = text_of(sample.references[r]);
      for (std::size_t t = 0; t < types_.size(); ++t) {
        COLLIE_TRY(const RougeScore one, score(types_[t], reference, prediction));
        if (r == 0 || one.f > best[t].f) best[t] = one;
      }
    }
    return best;
  }

  Result<std::vector<MetricValue>> values() const override {
    const auto count = static_cast<double>(sample_count());
    std::vector<MetricValue> all;
    for (std::size_t t = 0; t < types_.size(); ++t) {
      RougeScore sum;
      for (const auto& [index, row] : rows()) {
        sum.precision += row[t].precision;
        sum.recall += row[t].recall;
        sum.f += row[t].f;
      }
      all.push_back({types_[t] + "_p", sum.precision / count});
      all.push_back({types_[t] + "_r", sum.recall / count});
      all.push_back({types_[t] + "_f", sum.f / count});
    }
    return all;
  }

  std::vector<std::string> types_;
  bool stems_;
};

}  // namespace

MadeMetric make_rouge(const JsonReader& options) {
  std::vector<std::string> types = usual_types;
  if (options.has("types")) {
    COLLIE_TRY(types, options.get_strings("types"));
  }
  for (auto type = types.begin(); type != types.end(); ++type) {
    if (std::find(known_types.begin(), known_types.end(), *type) == known_types.end()) {
      return options.error(
          "types", fmt::format("unknown name {}, only {}{}", quoted_name(*type),
                               fmt::join(known_types, ", "), did_you_mean(*type, known_types)));
    }
    if (std::find(types.begin(), type, *type) != type) {
      return options.error("types", fmt::format("{} stands there twice", *type));
    }
  }
  if (types.empty()) return options.error("types", "name at least one");
  COLLIE_TRY(const bool stems, options.optional_bool("stemmer", false));
  return std::unique_ptr<Metric>(std::make_unique<Rouge>(std::move(types), stems));
}

}  // namespace collie
