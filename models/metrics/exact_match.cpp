#include <algorithm>
#include <map>

#include "models/metrics/row_metric.hpp"
#include "models/metrics/text.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie {

namespace {

const std::vector<std::string> normalization_names = {"none", "squad"};

// SQuAD's evaluation: lower case, no ASCII punctuation, no articles, single spaces.
std::vector<std::string> squad_words(std::string_view text) {
  constexpr std::string_view punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
  std::string lower;
  for (const char32_t point : metrics::code_points_of(text)) metrics::append_lower(lower, point);
  std::string bare;
  for (const char byte : lower) {
    if (punctuation.find(byte) == std::string_view::npos) bare += byte;
  }
  // An article is a whole word in the sense of \b, so “a” in typographic quotes is one, too.
  std::string out;
  std::string word;
  const auto end_word = [&] {
    out += word == "a" || word == "an" || word == "the" ? " " : word;
    word.clear();
  };
  for (const char32_t point : metrics::code_points_of(bare)) {
    const bool is_word = metrics::is_word(point);
    if (!is_word) end_word();
    tok::append_code_point(is_word ? word : out, point);
  }
  end_word();
  const std::vector<std::string_view> words = metrics::split_words(out);
  return {words.begin(), words.end()};
}

// The F1 of the two as bags of words; 1 for two that are empty.
double token_f1(const std::vector<std::string>& wanted, const std::vector<std::string>& given) {
  if (wanted.empty() || given.empty()) return wanted == given ? 1.0 : 0.0;
  std::map<std::string_view, int> left;
  for (const std::string& word : wanted) ++left[word];
  double hits = 0.0;
  for (const std::string& word : given) {
    if (left[word]-- > 0) hits += 1.0;
  }
  // 2 P R / (P + R) with P = hits / given and R = hits / wanted.
  return 2.0 * hits / static_cast<double>(wanted.size() + given.size());
}

struct MatchRow {
  bool is_exact = false;
  double token_f1 = 0.0;
};

class ExactMatch final : public RowMetric<MatchRow> {
 public:
  explicit ExactMatch(bool normalizes) : RowMetric("exact_match"), normalizes_(normalizes) {}

 private:
  Result<MatchRow> row_of(const MetricSample& sample) const override {
    COLLIE_TRY_VOID(require_references(sample));
    const std::vector<std::string>& references = sample.references;
    if (!normalizes_) {
      return MatchRow{
          std::find(references.begin(), references.end(), sample.prediction) != references.end(),
          0.0};
    }
    const std::vector<std::string> given = squad_words(sample.prediction);
    MatchRow row;
    for (const std::string& reference : references) {
      const std::vector<std::string> wanted = squad_words(reference);
      row.is_exact = row.is_exact || wanted == given;
      row.token_f1 = std::max(row.token_f1, token_f1(wanted, given));
    }
    return row;
  }

  Result<std::vector<MetricValue>> values() const override {
    double exact = 0.0;
    double f1_sum = 0.0;
    for (const auto& [index, row] : rows()) {
      exact += row.is_exact ? 1.0 : 0.0;
      f1_sum += row.token_f1;
    }
    const auto count = static_cast<double>(sample_count());
    std::vector<MetricValue> all = {{"exact_match", exact / count}};
    if (normalizes_) all.push_back({"token_f1", f1_sum / count});
    return all;
  }

  bool normalizes_;
};

}  // namespace

MadeMetric make_exact_match(const JsonReader& options) {
  COLLIE_TRY(const std::size_t normalization,
             metric_choice(options, "normalization", normalization_names, 0));
  return std::unique_ptr<Metric>(std::make_unique<ExactMatch>(normalization == 1));
}

}  // namespace collie
