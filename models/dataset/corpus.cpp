#include "models/dataset/corpus.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/dataset/chat_spans.hpp"
#include "models/dataset/permutation.hpp"
#include "models/dataset/reader.hpp"
#include "models/dataset/token_shards.hpp"
#include "runtime/limits.hpp"

namespace collie {
namespace {

class CorpusBuilder {
 public:
  CorpusBuilder(const TextEncoder& encoder, const DatasetOptions& options)
      : encoder_(encoder),
        options_(options),
        store_(std::make_shared<TokenStore>(encoder.fill_id())) {}

  Status add(const Record& record, std::string_view where, bool whole_file) {
    ++corpus_.records;
    COLLIE_TRY(const Record shown, render_chat(record, encoder_.chat_template(), where));
    const EncodedRecord encoded = encode_record(shown, encoder_);
    COLLIE_TRY_VOID(check_ids(encoded.ids, options_.vocabulary_size, where));
    if (encoded.labels == 0) {
      ++corpus_.empty;
      return ok_status();
    }
    if (!block_) block_ = std::make_shared<MemoryBlock>();
    const std::int64_t begin = store_->size() + block_->size();
    const auto length = static_cast<std::int64_t>(encoded.ids.size());
    tokens_held_ += length;
    if (static_cast<std::size_t>(tokens_held_) > limits::dataset_tokens_max) {
      return make_error(ErrorCode::invalid_data,
                        "{}: more than {} tokens of data to hold in memory; set data.max_records, "
                        "or write them to disk with tokenize",
                        where, limits::dataset_tokens_max);
    }
    block_->ids.insert(block_->ids.end(), encoded.ids.begin(), encoded.ids.end());
    block_->learned.insert(block_->learned.end(), encoded.learned.begin(), encoded.learned.end());
    corpus_.documents.push_back(
        {begin, begin + length, encoded.labels, encoded.divisible, whole_file});
    return ok_status();
  }

  // Returns how many documents it gave.
  Result<std::int64_t> add_directory(const std::string& directory, std::int64_t max_documents) {
    close_block();
    const std::size_t before = corpus_.documents.size();
    COLLIE_TRY(const TokenManifest manifest,
               map_token_directory(directory, encoder_, options_.vocabulary_size, max_documents,
                                   *store_, corpus_.documents));
    corpus_.records += manifest.records;
    corpus_.empty += manifest.empty;
    return static_cast<std::int64_t>(corpus_.documents.size() - before);
  }

  Corpus take() {
    close_block();
    corpus_.store = std::move(store_);
    return std::move(corpus_);
  }

 private:
  void close_block() {
    if (block_) store_->add(std::move(block_));
    block_.reset();
  }

  const TextEncoder& encoder_;
  const DatasetOptions& options_;
  std::shared_ptr<TokenStore> store_;
  std::shared_ptr<MemoryBlock> block_;  // behind the store's last token
  std::int64_t tokens_held_ = 0;
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
  head.labels = head.length() - 1;
  tail.labels = tail.length() - 1;
  if (head.length() >= 2) split.train.push_back(head);
  if (tail.length() >= 2) split.validation.push_back(tail);
}

}  // namespace

Result<Corpus> read_corpus(const std::vector<std::string>& sources, const DataSection& data,
                           const TextEncoder& encoder, const DatasetOptions& options) {
  CorpusBuilder builder(encoder, options);
  std::int64_t record_count = 0;
  for (const std::string& source : sources) {
    const std::int64_t left = data.max_records > 0 ? data.max_records - record_count : 0;
    if (data.max_records > 0 && left == 0) break;
    if (is_token_directory(source)) {
      COLLIE_TRY(const std::int64_t documents, builder.add_directory(source, left));
      record_count += documents;
      continue;
    }
    const auto add = [&](const Record& record, std::string_view where, bool whole_file) {
      ++record_count;
      return builder.add(record, where, whole_file);
    };
    COLLIE_TRY_VOID(read_file_records({source}, data, left, add));
  }
  Corpus corpus = builder.take();
  if (corpus.documents.empty()) {
    return make_error(ErrorCode::invalid_data, "{}: no record with a token to predict ({} records)",
                      sources.empty() ? "data.train" : sources.front(), corpus.records);
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
