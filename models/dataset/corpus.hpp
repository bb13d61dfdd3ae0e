// Files and directories of tokens -> tokens and document boundaries.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/dataset/dataset.hpp"
#include "models/dataset/encoding.hpp"
#include "models/dataset/token_store.hpp"

namespace collie {

struct Corpus {
  std::shared_ptr<const TokenStore> store;
  std::vector<Document> documents;  // each of at least 2 tokens, one of them learned
  std::int64_t records = 0;
  std::int64_t empty = 0;  // records without text
};

// A source is a file or a directory of tokens; of the latter data.max_records counts documents.
// Errors: those of read_records() and map_token_directory(); invalid_data for ids beyond the
// vocabulary, more tokens in memory than limits::dataset_tokens_max and sources without a record.
Result<Corpus> read_corpus(const std::vector<std::string>& sources, const DataSection& data,
                           const TextEncoder& encoder, const DatasetOptions& options);

struct SplitDocuments {
  std::vector<Document> train;
  std::vector<Document> validation;
};

// fraction in (0, 1). Divides whole text files by length, the last part for validation, and takes
// of all other documents those with the smallest hashes of their index. Fails with invalid_data
// when either side would be empty.
Result<SplitDocuments> split_documents(const std::vector<Document>& documents, double fraction);

}  // namespace collie
