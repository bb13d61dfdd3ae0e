// From files to datasets: tokens, split, pieces, rows.
#include <algorithm>
#include <numeric>

#include "models/dataset/corpus.hpp"
#include "models/dataset/dataset.hpp"
#include "runtime/file.hpp"

namespace collie {
namespace {

// Labels of the first tokens of a document that is longer.
std::int64_t count_labels(const TokenStore& store, const Piece& piece) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(piece.slots));
  std::vector<std::uint8_t> learned(ids.size());
  store.copy(piece.token_begin + 1, piece.slots, ids.data(), learned.data());
  return std::accumulate(learned.begin(), learned.end(), std::int64_t{0});
}

// Pieces that fit into rows and have something to learn each.
std::vector<Piece> make_pieces(const TokenStore& store, const std::vector<Document>& documents,
                               std::int64_t sequence_length, DatasetStatistics& statistics) {
  std::vector<Piece> pieces;
  for (const Document& document : documents) {
    if (document.divisible) {
      cut_document(document.begin, document.end, sequence_length, pieces);
      ++statistics.documents;
      statistics.tokens += document.length() - 1;
      statistics.learned_tokens += document.labels;
      continue;
    }
    const Piece piece{document.begin, std::min(sequence_length, document.length() - 1)};
    std::int64_t labels = document.labels;
    if (piece.slots < document.length() - 1) {
      ++statistics.truncated;
      labels = count_labels(store, piece);
      if (labels == 0) {
        ++statistics.dropped;
        continue;
      }
    }
    ++statistics.documents;
    statistics.tokens += piece.slots;
    statistics.learned_tokens += labels;
    pieces.push_back(piece);
  }
  return pieces;
}

// Pieces in rows, with room for virtual tokens before each.
RowPlan plan_rows(std::vector<Piece> pieces, const DataSection& data, std::int64_t before) {
  for (Piece& piece : pieces) piece.slots += before;
  RowPlan plan = data.packing ? pack_rows(pieces, data.sequence_length, data.packing_window)
                              : single_rows(pieces);
  for (Piece& piece : plan.pieces) piece.slots -= before;
  return plan;
}

Result<RowPool> make_pool(std::shared_ptr<const TokenStore> store,
                          const std::vector<Document>& documents, const DataSection& data,
                          const DatasetOptions& options, DatasetStatistics statistics) {
  RowPool pool;
  const std::int64_t room = data.sequence_length - options.virtual_tokens;
  if (room < 1) {
    return make_error(ErrorCode::invalid_config,
                      "data.sequence_length: {} leaves no room behind {} virtual tokens; raise it "
                      "or lower tuning.virtual_tokens",
                      data.sequence_length, options.virtual_tokens);
  }
  std::vector<Piece> pieces = make_pieces(*store, documents, room, statistics);
  if (pieces.empty()) {
    return make_error(ErrorCode::invalid_data,
                      "data.sequence_length {} cuts every record before there is anything to "
                      "learn; raise it",
                      data.sequence_length);
  }
  pool.store = std::move(store);
  statistics.tokens += options.virtual_tokens * static_cast<std::int64_t>(pieces.size());
  pool.plan = plan_rows(std::move(pieces), data, options.virtual_tokens);
  statistics.rows = pool.plan.row_count();
  pool.statistics = statistics;
  return pool;
}

Dataset make_dataset(std::vector<RowPool> pools, const DataSection& data, Dataset::Order order,
                     const DatasetOptions& options) {
  const bool shuffle = data.shuffle && order == Dataset::Order::endless;
  return Dataset(std::move(pools), data.sequence_length, order, shuffle, options.seed,
                 options.virtual_tokens);
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

// Sources of data.train that share a pool.
struct SourceGroup {
  std::string name;
  double weight = 1.0;
  std::vector<std::string> paths;
};

// One group without weights; with any, each source is a group.
std::vector<SourceGroup> group_sources(const std::vector<DataSource>& sources) {
  const bool weighted =
      std::any_of(sources.begin(), sources.end(), [](const auto& it) { return it.weight > 0.0; });
  std::vector<SourceGroup> groups;
  if (!weighted) groups.emplace_back().name = "data.train";
  for (const DataSource& source : sources) {
    if (weighted) {
      groups.push_back({source.name.empty() ? file_name_of(source.path) : source.name,
                        source.weight > 0.0 ? source.weight : 1.0,
                        {}});
    }
    groups.back().paths.push_back(source.path);
  }
  return groups;
}

Result<Dataset> open_validation_files(const DataSection& data, const TextEncoder& encoder,
                                      const DatasetOptions& options) {
  COLLIE_TRY(Corpus corpus, read_corpus(data.validation, data, encoder, options));
  COLLIE_TRY(RowPool pool,
             make_pool(corpus.store, corpus.documents, data, options, statistics_of(corpus)));
  pool.name = "data.validation";
  return make_dataset({std::move(pool)}, data, Dataset::Order::once, options);
}

// The pools of the groups; where a fraction validates, that part of each in one pool of its own.
struct Pools {
  std::vector<RowPool> train;
  std::vector<RowPool> validation;
};

Status add_group(const SourceGroup& group, const DataSection& data, const TextEncoder& encoder,
                 const DatasetOptions& options, Pools& pools) {
  COLLIE_TRY(Corpus corpus, read_corpus(group.paths, data, encoder, options));
  const DatasetStatistics statistics = statistics_of(corpus);
  std::vector<Document> train = std::move(corpus.documents);
  if (data.validation_fraction > 0.0) {
    COLLIE_TRY(SplitDocuments split, split_documents(train, data.validation_fraction));
    COLLIE_TRY(RowPool pool, make_pool(corpus.store, split.validation, data, options, statistics));
    pool.name = group.name;
    pools.validation.push_back(std::move(pool));
    train = std::move(split.train);
  }
  COLLIE_TRY(RowPool pool, make_pool(corpus.store, train, data, options, statistics));
  pool.name = group.name;
  pool.weight = group.weight;
  pools.train.push_back(std::move(pool));
  return ok_status();
}

Result<Pools> open_groups(const DataSection& data, const TextEncoder& encoder,
                          const DatasetOptions& options) {
  Pools pools;
  for (const SourceGroup& group : group_sources(data.train)) {
    COLLIE_TRY_VOID(add_group(group, data, encoder, options, pools));
  }
  return pools;
}

}  // namespace

Result<DataSplits> open_training_data(const DataSection& data, const TextEncoder& encoder,
                                      const DatasetOptions& options) {
  COLLIE_TRY_VOID(check_length(data, options));
  COLLIE_TRY(Pools pools, open_groups(data, encoder, options));
  DataSplits splits{make_dataset(std::move(pools.train), data, Dataset::Order::endless, options),
                    std::nullopt};
  if (!pools.validation.empty()) {
    splits.validation =
        make_dataset(std::move(pools.validation), data, Dataset::Order::once, options);
  } else if (!data.validation.empty()) {
    COLLIE_TRY(splits.validation, open_validation_files(data, encoder, options));
  }
  return splits;
}

Result<Dataset> open_validation_data(const DataSection& data, const TextEncoder& encoder,
                                     const DatasetOptions& options) {
  COLLIE_TRY_VOID(check_length(data, options));
  if (!data.validation.empty()) return open_validation_files(data, encoder, options);
  if (data.validation_fraction <= 0.0) {
    return make_error(ErrorCode::invalid_config,
                      "data.validation: name validation files, or set data.validation_fraction");
  }
  COLLIE_TRY(Pools pools, open_groups(data, encoder, options));
  return make_dataset(std::move(pools.validation), data, Dataset::Order::once, options);
}

}  // namespace collie
