// From files to datasets: tokens, split, pieces, rows.
#include <algorithm>

#include "models/dataset/corpus.hpp"
#include "models/dataset/dataset.hpp"

namespace collie {
namespace {

// Pieces that fit into rows and have something to learn each.
std::vector<Piece> make_pieces(const TokenStore& store, const std::vector<Document>& documents,
                               std::int64_t sequence_length, DatasetStatistics& statistics) {
  std::vector<Piece> pieces;
  for (const Document& document : documents) {
    if (document.divisible) {
      cut_document(document.begin, document.end, sequence_length, pieces);
      continue;
    }
    const Piece piece{document.begin, std::min(sequence_length, document.length() - 1)};
    if (piece.slots < document.length() - 1) {
      ++statistics.truncated;
      const auto first = store.learned.begin() + piece.token_begin + 1;
      if (std::count(first, first + piece.slots, true) == 0) {
        ++statistics.dropped;
        continue;
      }
    }
    pieces.push_back(piece);
  }
  return pieces;
}

Result<Dataset> make_dataset(std::shared_ptr<const TokenStore> store,
                             const std::vector<Document>& documents, const DataSection& data,
                             DatasetStatistics statistics, Dataset::Order order,
                             std::int64_t seed) {
  const std::vector<Piece> pieces =
      make_pieces(*store, documents, data.sequence_length, statistics);
  if (pieces.empty()) {
    return make_error(ErrorCode::invalid_data,
                      "data.sequence_length {} cuts every record before there is anything to "
                      "learn; raise it",
                      data.sequence_length);
  }
  RowPlan plan = data.packing ? pack_rows(pieces, data.sequence_length) : single_rows(pieces);
  const bool shuffle = data.shuffle && order == Dataset::Order::endless;
  return Dataset(std::move(store), std::move(plan), statistics, data.sequence_length, order,
                 shuffle, seed);
}

Status check_length(const DataSection& data, const DatasetOptions& options) {
  if (options.context_length > 0 && data.sequence_length > options.context_length) {
    return make_error(ErrorCode::invalid_config,
                      "data.sequence_length: {} is more than the {} positions of the model",
                      data.sequence_length, options.context_length);
  }
  return ok_status();
}

// records and empty of a split cannot be told apart once tokens are divided: they are the corpus's.
DatasetStatistics statistics_of(const Corpus& corpus) {
  DatasetStatistics statistics;
  statistics.records = corpus.records;
  statistics.empty = corpus.empty;
  return statistics;
}

Result<Dataset> open_files(const std::vector<std::string>& files, const DataSection& data,
                           const TextEncoder& encoder, const DatasetOptions& options,
                           Dataset::Order order) {
  COLLIE_TRY(Corpus corpus, read_corpus(files, data, encoder, options));
  auto store = std::make_shared<const TokenStore>(std::move(corpus.store));
  return make_dataset(std::move(store), corpus.documents, data, statistics_of(corpus), order,
                      options.seed);
}

struct TwoParts {
  Dataset train;
  Dataset validation;
};

Result<TwoParts> open_split(const DataSection& data, const TextEncoder& encoder,
                            const DatasetOptions& options) {
  COLLIE_TRY(Corpus corpus, read_corpus(data.train, data, encoder, options));
  COLLIE_TRY(const SplitDocuments split,
             split_documents(corpus.documents, data.validation_fraction));
  const DatasetStatistics statistics = statistics_of(corpus);
  auto store = std::make_shared<const TokenStore>(std::move(corpus.store));
  COLLIE_TRY(Dataset train, make_dataset(store, split.train, data, statistics,
                                         Dataset::Order::endless, options.seed));
  COLLIE_TRY(Dataset validation, make_dataset(store, split.validation, data, statistics,
                                              Dataset::Order::once, options.seed));
  return TwoParts{std::move(train), std::move(validation)};
}

}  // namespace

Result<DataSplits> open_training_data(const DataSection& data, const TextEncoder& encoder,
                                      const DatasetOptions& options) {
  COLLIE_TRY_VOID(check_length(data, options));
  if (data.validation_fraction > 0.0) {
    COLLIE_TRY(TwoParts parts, open_split(data, encoder, options));
    return DataSplits{std::move(parts.train), std::move(parts.validation)};
  }
  COLLIE_TRY(Dataset train,
             open_files(data.train, data, encoder, options, Dataset::Order::endless));
  DataSplits splits{std::move(train), std::nullopt};
  if (!data.validation.empty()) {
    COLLIE_TRY(splits.validation,
               open_files(data.validation, data, encoder, options, Dataset::Order::once));
  }
  return splits;
}

Result<Dataset> open_validation_data(const DataSection& data, const TextEncoder& encoder,
                                     const DatasetOptions& options) {
  COLLIE_TRY_VOID(check_length(data, options));
  if (!data.validation.empty()) {
    return open_files(data.validation, data, encoder, options, Dataset::Order::once);
  }
  if (data.validation_fraction <= 0.0) {
    return make_error(ErrorCode::invalid_config,
                      "data.validation: name validation files, or set data.validation_fraction");
  }
  COLLIE_TRY(TwoParts parts, open_split(data, encoder, options));
  return std::move(parts.validation);
}

}  // namespace collie
