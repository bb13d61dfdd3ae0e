#include "models/dataset/corpus.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/dataset/permutation.hpp"
#include "models/dataset/reader.hpp"
#include "runtime/limits.hpp"

namespace collie {
namespace {

class CorpusBuilder {
 public:
  CorpusBuilder(const TextEncoder& encoder, const DatasetOptions& options)
      : encoder_(encoder), options_(options) {
    corpus_.store.fill_id = encoder.fill_id();
  }

  Status add(const Record& record, std::string_view where, bool whole_file) {
    ++corpus_.records;
    const auto begin = static_cast<std::int64_t>(corpus_.store.ids.size());
    if (!has_text(record)) {
      ++corpus_.empty;
      return ok_status();
    }
    if (const auto id = encoder_.begin_id()) append(*id, false);
    for (const TextSpan& span : record.spans) {
      for (const std::int32_t id : encoder_.encode(span.text)) append(id, span.learned);
      if (!span.end_of_text) continue;
      if (const auto id = encoder_.end_id()) append(*id, span.learned);
    }
    COLLIE_TRY_VOID(check_ids(begin, where));
    const auto end = static_cast<std::int64_t>(corpus_.store.ids.size());
    if (!has_label(begin, end)) {
      forget_from(begin);
      ++corpus_.empty;
      return ok_status();
    }
    corpus_.documents.push_back({begin, end, record.shape == RecordShape::text, whole_file});
    return ok_status();
  }

  Corpus take() { return std::move(corpus_); }

 private:
  // An empty answer still teaches its end; an empty text teaches nothing.
  static bool has_text(const Record& record) {
    return record.shape != RecordShape::text || !record.spans.front().text.empty();
  }

  void append(std::int32_t id, bool learned) {
    corpus_.store.ids.push_back(id);
    corpus_.store.learned.push_back(learned);
  }

  void forget_from(std::int64_t begin) {
    corpus_.store.ids.resize(static_cast<std::size_t>(begin));
    corpus_.store.learned.resize(static_cast<std::size_t>(begin));
  }

  // The first token of a document is never predicted.
  bool has_label(std::int64_t begin, std::int64_t end) const {
    if (end - begin < 2) return false;
    const auto& learned = corpus_.store.learned;
    return std::find(learned.begin() + begin + 1, learned.begin() + end, true) !=
           learned.begin() + end;
  }

  Status check_ids(std::int64_t begin, std::string_view where) const {
    const auto& ids = corpus_.store.ids;
    if (ids.size() > limits::dataset_tokens_max) {
      return make_error(ErrorCode::invalid_data,
                        "{}: more than {} tokens of data; set data.max_records or use fewer files",
                        where, limits::dataset_tokens_max);
    }
    if (options_.vocabulary_size == 0) return ok_status();
    for (auto place = static_cast<std::size_t>(begin); place < ids.size(); ++place) {
      if (ids[place] < 0 || ids[place] >= options_.vocabulary_size) {
        return make_error(ErrorCode::invalid_data,
                          "{}: token id {} does not fit the model's vocabulary of {}; the "
                          "tokenizer belongs to another model",
                          where, ids[place], options_.vocabulary_size);
      }
    }
    return ok_status();
  }

  const TextEncoder& encoder_;
  const DatasetOptions& options_;
  Corpus corpus_;
};

// The places of the documents that are no whole files, those with the smallest hashes first.
std::vector<std::size_t> by_hash(const std::vector<Document>& documents) {
  std::vector<std::size_t> order;
  for (std::size_t index = 0; index < documents.size(); ++index) {
    if (!documents[index].whole_file) order.push_back(index);
  }
  std::sort(order.begin(), order.end(),
            [](std::size_t left, std::size_t right) { return mix_bits(left) < mix_bits(right); });
  return order;
}

void cut_whole_file(const Document& document, double fraction, SplitDocuments& split) {
  const auto part =
      static_cast<std::int64_t>(std::llround(fraction * static_cast<double>(document.length())));
  Document head = document;
  Document tail = document;
  head.end = tail.begin = document.end - part;
  if (head.length() >= 2) split.train.push_back(head);
  if (tail.length() >= 2) split.validation.push_back(tail);
}

}  // namespace

Result<Corpus> read_corpus(const std::vector<std::string>& files, const DataSection& data,
                           const TextEncoder& encoder, const DatasetOptions& options) {
  CorpusBuilder builder(encoder, options);
  DataSection remaining = data;
  std::int64_t record_count = 0;
  for (const std::string& file : files) {
    const bool whole_file = is_whole_text_file(file, data);
    if (data.max_records > 0) remaining.max_records = data.max_records - record_count;
    if (data.max_records > 0 && remaining.max_records == 0) break;
    const RecordVisitor add = [&](const Record& record, std::string_view where) -> Result<bool> {
      ++record_count;
      COLLIE_TRY_VOID(builder.add(record, where, whole_file));
      return true;
    };
    COLLIE_TRY_VOID(read_records({file}, remaining, add));
  }
  Corpus corpus = builder.take();
  if (corpus.documents.empty()) {
    return make_error(ErrorCode::invalid_data, "{}: no record with a token to predict ({} records)",
                      files.empty() ? "data.train" : files.front(), corpus.records);
  }
  return corpus;
}

Result<SplitDocuments> split_documents(const std::vector<Document>& documents, double fraction) {
  SplitDocuments split;
  const std::vector<std::size_t> order = by_hash(documents);
  std::vector<bool> validates(documents.size(), false);
  if (order.size() > 1) {
    const auto wanted = std::llround(fraction * static_cast<double>(order.size()));
    const auto count = std::clamp<long long>(wanted, 1, static_cast<long long>(order.size()) - 1);
    for (long long rank = 0; rank < count; ++rank) {
      validates[order[static_cast<std::size_t>(rank)]] = true;
    }
  }
  for (std::size_t index = 0; index < documents.size(); ++index) {
    if (documents[index].whole_file) {
      cut_whole_file(documents[index], fraction, split);
    } else {
      (validates[index] ? split.validation : split.train).push_back(documents[index]);
    }
  }
  if (split.train.empty() || split.validation.empty()) {
    return make_error(ErrorCode::invalid_data,
                      "data.validation_fraction {} of {} documents leaves none for {}; give "
                      "data.validation files instead",
                      fraction, documents.size(), split.train.empty() ? "training" : "validation");
  }
  return split;
}

}  // namespace collie
