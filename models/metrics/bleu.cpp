#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "models/metrics/bleu_tokenizers.hpp"
#include "models/metrics/row_metric.hpp"
#include "models/metrics/text.hpp"

namespace collie {

namespace {

using metrics::BleuTokenizer;

constexpr int order_max = 8;

const std::vector<std::string> tokenizer_names = {"13a", "intl", "char", "none"};
const std::vector<std::string> smoothing_names = {"exp", "floor", "add-k", "none"};
enum class Smoothing { exp, floor, add_k, none };

struct BleuOptions {
  BleuTokenizer tokenizer = BleuTokenizer::v13a;
  Smoothing smoothing = Smoothing::exp;
  double smooth_value = 0.0;  // of floor and add-k
  int max_order = 4;
};

// What BLEU needs of a sentence; of a corpus it is the sum.
struct BleuRow {
  std::int64_t hypothesis_length = 0;
  std::int64_t reference_length = 0;  // of the reference nearest in length, the shorter of equals
  std::array<std::int64_t, order_max> correct{};
  std::array<std::int64_t, order_max> total{};
};

struct BleuScore {
  double score = 0.0;  // 0 to 100
  double brevity_penalty = 0.0;
  std::array<double, order_max> precisions{};
};

struct NgramCounts {
  std::unordered_map<std::string, std::int64_t> counts;  // words joined by spaces
  std::int64_t length = 0;
};

NgramCounts count_ngrams(std::string_view text, const BleuOptions& options) {
  const std::string line =
      metrics::tokenize_for_bleu(metrics::without_trailing_space(text), options.tokenizer);
  const std::vector<std::string_view> words = metrics::split_words(line);
  NgramCounts ngrams;
  ngrams.length = static_cast<std::int64_t>(words.size());
  for (std::size_t begin = 0; begin < words.size(); ++begin) {
    std::string key;
    const std::size_t end =
        std::min(words.size(), begin + static_cast<std::size_t>(options.max_order));
    for (std::size_t i = begin; i < end; ++i) {
      if (i > begin) key += ' ';
      key += words[i];
      ++ngrams.counts[key];
    }
  }
  return ngrams;
}

std::size_t order_of(const std::string& ngram) {
  // Words hold no space of any kind, so each space divides two.
  return static_cast<std::size_t>(std::count(ngram.begin(), ngram.end(), ' '));
}

BleuRow row_of_texts(const std::string& prediction, const std::vector<std::string>& references,
                     const BleuOptions& options) {
  const NgramCounts hypothesis = count_ngrams(prediction, options);
  std::unordered_map<std::string, std::int64_t> reference_counts;
  BleuRow row;
  row.hypothesis_length = hypothesis.length;
  std::int64_t nearest = -1;
  for (const std::string& reference : references) {
    const NgramCounts ngrams = count_ngrams(reference, options);
    const std::int64_t difference = std::abs(ngrams.length - hypothesis.length);
    if (nearest < 0 || difference < nearest ||
        (difference == nearest && ngrams.length < row.reference_length)) {
      nearest = difference;
      row.reference_length = ngrams.length;
    }
    for (const auto& [ngram, count] : ngrams.counts) {
      std::int64_t& most = reference_counts[ngram];
      most = std::max(most, count);
    }
  }
  for (const auto& [ngram, count] : hypothesis.counts) {
    const std::size_t order = order_of(ngram);
    row.total[order] += count;
    const auto found = reference_counts.find(ngram);
    if (found != reference_counts.end()) row.correct[order] += std::min(count, found->second);
  }
  return row;
}

double brevity_penalty(const BleuRow& row) {
  if (row.hypothesis_length >= row.reference_length) return 1.0;
  if (row.hypothesis_length == 0) return 0.0;
  return std::exp(1.0 - static_cast<double>(row.reference_length) /
                            static_cast<double>(row.hypothesis_length));
}

// Papineni et al. 2002; smoothing as in Chen and Cherry 2014: floor is their method 1, add-k their
// method 2, exp their method 3. effective_order: n-grams longer than the sentence do not count.
BleuScore score_of(const BleuRow& row, const BleuOptions& options, bool effective_order) {
  BleuScore result;
  result.brevity_penalty = brevity_penalty(row);
  const auto order_count = static_cast<std::size_t>(options.max_order);
  if (std::all_of(row.correct.begin(), row.correct.end(), [](auto n) { return n == 0; })) {
    return result;
  }
  std::size_t orders = order_count;
  double halving = 1.0;
  for (std::size_t n = 0; n < order_count; ++n) {
    const bool adds = options.smoothing == Smoothing::add_k && n > 0;
    const double added = adds ? options.smooth_value : 0.0;
    const double correct = static_cast<double>(row.correct[n]) + added;
    const double total = static_cast<double>(row.total[n]) + added;
    if (total <= 0.0) break;
    if (effective_order) orders = n + 1;
    if (correct > 0.0) {
      result.precisions[n] = 100.0 * correct / total;
    } else if (options.smoothing == Smoothing::exp) {
      halving *= 2.0;
      result.precisions[n] = 100.0 / (halving * total);
    } else if (options.smoothing == Smoothing::floor) {
      result.precisions[n] = 100.0 * options.smooth_value / total;
    }
  }
  double log_sum = 0.0;  // minus infinity, so a score of 0, where a precision is 0
  for (std::size_t n = 0; n < orders; ++n) log_sum += std::log(result.precisions[n]);
  result.score = result.brevity_penalty * std::exp(log_sum / static_cast<double>(orders));
  return result;
}

// Equal to sacrebleu's corpus_bleu, and bleu_macro to the mean of its sentence_bleu.
class Bleu final : public RowMetric<BleuRow> {
 public:
  explicit Bleu(BleuOptions options) : RowMetric("bleu"), options_(options) {}

 private:
  Result<BleuRow> row_of(const MetricSample& sample) const override {
    COLLIE_TRY_VOID(require_references(sample));
    return row_of_texts(sample.prediction, sample.references, options_);
  }

  Result<std::vector<MetricValue>> values() const override {
    BleuRow sum;
    double sentence_sum = 0.0;
    for (const auto& [index, row] : rows()) {
      sum.hypothesis_length += row.hypothesis_length;
      sum.reference_length += row.reference_length;
      for (std::size_t n = 0; n < order_max; ++n) {
        sum.correct[n] += row.correct[n];
        sum.total[n] += row.total[n];
      }
      sentence_sum += score_of(row, options_, true).score;
    }
    const BleuScore score = score_of(sum, options_, false);
    std::vector<MetricValue> all = {
        {"bleu", score.score}, {"bleu_macro", sentence_sum / static_cast<double>(sample_count())}};
    for (int n = 0; n < options_.max_order; ++n) {
      all.push_back(
          {fmt::format("precision_{}", n + 1), score.precisions[static_cast<std::size_t>(n)]});
    }
    all.push_back({"brevity_penalty", score.brevity_penalty});
    all.push_back({"hypothesis_length", static_cast<double>(sum.hypothesis_length)});
    all.push_back({"reference_length", static_cast<double>(sum.reference_length)});
    return all;
  }

  BleuOptions options_;
};

}  // namespace

MadeMetric make_bleu(const JsonReader& options) {
  BleuOptions read;
  COLLIE_TRY(const std::size_t tokenizer, metric_choice(options, "tokenizer", tokenizer_names, 0));
  read.tokenizer = static_cast<BleuTokenizer>(tokenizer);
  COLLIE_TRY(const std::size_t smoothing, metric_choice(options, "smoothing", smoothing_names, 0));
  read.smoothing = static_cast<Smoothing>(smoothing);
  const double usual_value = read.smoothing == Smoothing::floor ? 0.1 : 1.0;
  COLLIE_TRY(read.smooth_value, options.optional_number("smooth_value", usual_value, 0.0, 1e6));
  COLLIE_TRY(const std::int64_t max_order, options.optional_int("max_order", 4, 1, order_max));
  read.max_order = static_cast<int>(max_order);
  return std::unique_ptr<Metric>(std::make_unique<Bleu>(read));
}

}  // namespace collie
