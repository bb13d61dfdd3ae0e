#include "models/metrics/rouge_score.hpp"

#include <algorithm>
#include <unordered_map>

#include "models/metrics/porter_stemmer.hpp"
#include "models/metrics/text.hpp"

namespace collie::metrics {

namespace {

using Counts = std::unordered_map<std::string, std::int64_t>;

RougeScore score_of(std::int64_t hits, std::size_t reference_count, std::size_t prediction_count) {
  RougeScore score;
  const auto found = static_cast<double>(hits);
  score.precision = found / static_cast<double>(std::max<std::size_t>(prediction_count, 1));
  score.recall = found / static_cast<double>(std::max<std::size_t>(reference_count, 1));
  const double sum = score.precision + score.recall;
  score.f = sum > 0.0 ? 2.0 * score.precision * score.recall / sum : 0.0;
  return score;
}

Counts count_ngrams(const Words& words, std::size_t n) {
  Counts counts;
  for (std::size_t begin = 0; begin + n <= words.size(); ++begin) {
    std::string key;
    for (std::size_t i = begin; i < begin + n; ++i) key += words[i] + ' ';
    ++counts[key];
  }
  return counts;
}

// lengths[i][j] for the first i words of a and the first j of b.
class SubsequenceTable {
 public:
  static Result<SubsequenceTable> of(const Words& a, const Words& b) {
    const std::size_t columns = b.size() + 1;
    if ((a.size() + 1) > rouge_table_cells_max / columns) {
      return make_error(ErrorCode::invalid_data,
                        "rouge: texts of {} and {} words are too long to compare; shorten what is "
                        "generated or leave rougeL out of types",
                        a.size(), b.size());
    }
    SubsequenceTable table(columns);
    table.cells_.resize((a.size() + 1) * columns);
    for (std::size_t i = 1; i <= a.size(); ++i) {
      for (std::size_t j = 1; j <= b.size(); ++j) {
        const bool same = a[i - 1] == b[j - 1];
        table.at(i, j) =
            same ? table.at(i - 1, j - 1) + 1 : std::max(table.at(i - 1, j), table.at(i, j - 1));
      }
    }
    return table;
  }

  std::int32_t& at(std::size_t i, std::size_t j) { return cells_[i * columns_ + j]; }

 private:
  explicit SubsequenceTable(std::size_t columns) : columns_(columns) {}
  std::size_t columns_;
  std::vector<std::int32_t> cells_;
};

// Marks the words of the reference that are part of one longest common subsequence. Which of
// several is a matter of the order of these comparisons, and ROUGE depends on it.
Status mark_subsequence(const Words& reference, const Words& prediction, std::vector<bool>& marks) {
  COLLIE_TRY(SubsequenceTable table, SubsequenceTable::of(reference, prediction));
  std::size_t i = reference.size();
  std::size_t j = prediction.size();
  while (i > 0 && j > 0) {
    if (reference[i - 1] == prediction[j - 1]) {
      marks[i - 1] = true;
      --i;
      --j;
    } else if (table.at(i, j - 1) > table.at(i - 1, j)) {
      --j;
    } else {
      --i;
    }
  }
  return ok_status();
}

}  // namespace

Words rouge_words(std::string_view text, bool stem) {
  std::string lower;
  for (const char32_t point : code_points_of(text)) append_lower(lower, point);
  Words words(1);
  for (const char byte : lower) {
    const bool is_part = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
    if (is_part) {
      words.back() += byte;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  constexpr std::size_t stays_bytes_max = 3;
  for (std::string& word : words) {
    if (stem && word.size() > stays_bytes_max) word = porter_stem(word);
  }
  return words;
}

std::vector<Words> rouge_sentences(std::string_view text, bool stem) {
  std::vector<Words> sentences;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) sentences.push_back(rouge_words(text.substr(begin, end - begin), stem));
    begin = end + 1;
  }
  return sentences;
}

RougeScore rouge_n(const Words& reference, const Words& prediction, std::size_t n) {
  const Counts wanted = count_ngrams(reference, n);
  const Counts given = count_ngrams(prediction, n);
  std::int64_t hits = 0;
  for (const auto& [ngram, count] : wanted) {
    const auto found = given.find(ngram);
    if (found != given.end()) hits += std::min(count, found->second);
  }
  const auto ngrams_of = [n](const Words& words) {
    return words.size() >= n ? words.size() - n + 1 : 0;
  };
  return score_of(hits, ngrams_of(reference), ngrams_of(prediction));
}

Result<RougeScore> rouge_l(const Words& reference, const Words& prediction) {
  if (reference.empty() || prediction.empty()) return RougeScore{};
  COLLIE_TRY(SubsequenceTable table, SubsequenceTable::of(reference, prediction));
  return score_of(table.at(reference.size(), prediction.size()), reference.size(),
                  prediction.size());
}

Result<RougeScore> rouge_l_sum(const std::vector<Words>& reference,
                               const std::vector<Words>& prediction) {
  Counts given;
  std::size_t prediction_count = 0;
  for (const Words& sentence : prediction) {
    prediction_count += sentence.size();
    for (const std::string& word : sentence) ++given[word];
  }
  std::size_t reference_count = 0;
  for (const Words& sentence : reference) reference_count += sentence.size();
  if (reference_count == 0 || prediction_count == 0) return RougeScore{};
  std::int64_t hits = 0;
  for (const Words& sentence : reference) {
    std::vector<bool> marks(sentence.size());
    for (const Words& other : prediction) {
      COLLIE_TRY_VOID(mark_subsequence(sentence, other, marks));
    }
    for (std::size_t i = 0; i < sentence.size(); ++i) {
      if (!marks[i] || given[sentence[i]] <= 0) continue;
      ++hits;
      --given[sentence[i]];
    }
  }
  return score_of(hits, reference_count, prediction_count);
}

}  // namespace collie::metrics
