// Files -> tokens and document boundaries.
#pragma once

#include <string>
#include <vector>

#include "models/dataset/dataset.hpp"

namespace collie {

// Tokens [begin, end) of a TokenStore.
struct Document {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  bool divisible = true;    // plain text: may be cut into pieces, other shapes are truncated
  bool whole_file = false;  // a text file that is one document

  std::int64_t length() const { return end - begin; }
};

struct Corpus {
  TokenStore store;
  std::vector<Document> documents;  // each of at least 2 tokens, one of them learned
  std::int64_t records = 0;
  std::int64_t empty = 0;  // records without text
};

// Errors: those of read_records(); invalid_data for ids beyond the vocabulary, more tokens than
// limits::dataset_tokens_max and files without a record.
Result<Corpus> read_corpus(const std::vector<std::string>& files, const DataSection& data,
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
