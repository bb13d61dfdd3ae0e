// Directories of tokens as `tokenize` writes them (token_manifest.hpp): mapped, never loaded.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/dataset/encoding.hpp"
#include "models/dataset/token_manifest.hpp"
#include "models/dataset/token_store.hpp"

namespace collie {

// Whether this source of data is a directory of tokens rather than a file to tokenise.
bool is_token_directory(const std::string& path);

// Maps all shards, adds them to the store and their documents behind those that are there (at most
// max_documents of them, 0: all). Every file is read once, so that damage is found before the run
// and not in the middle: sizes, hashes, ids against the vocabulary, masks against the index.
// vocabulary_size is the model's, 0: not checked. Errors, one line each: invalid_data where the
// tokens were made with another tokenizer or do not fit the model, invalid_file for damage, those
// of read_token_manifest().
Result<TokenManifest> map_token_directory(const std::string& directory, const TextEncoder& encoder,
                                          std::int64_t vocabulary_size, std::int64_t max_documents,
                                          TokenStore& store, std::vector<Document>& documents);

// Whether all files of the directory are there whole: their sizes and hashes. invalid_file where
// one is not.
Status verify_token_files(const std::string& directory, const TokenManifest& manifest);

// Writes such a directory: documents in the order given, shards of at most shard_tokens tokens
// where a document allows it. The directory appears with commit(), complete, or not at all. Memory:
// a mask of one bit for each token of a shard and small buffers.
class TokenWriter {
 public:
  // A directory that is there already is replaced when it holds tokens and nothing else, and
  // refused otherwise.
  static Result<TokenWriter> create(const std::string& directory, std::uint64_t tokenizer,
                                    std::int64_t vocabulary_size, std::int64_t shard_tokens);
  TokenWriter(TokenWriter&&) noexcept;
  TokenWriter& operator=(TokenWriter&&) noexcept;
  ~TokenWriter();

  // Ids are below vocabulary_size. A record without labels is counted as empty and left out.
  Status add(const EncodedRecord& record, bool whole_file);
  // Where the files are until commit(): others may be put beside them.
  const std::string& temporary_path() const;
  // What the manifest is to say of the encoder; with_chats: there were chats among the records.
  void describe(const TextEncoder& encoder, bool with_chats);
  // invalid_data where no document was added.
  Result<TokenManifest> commit();

 private:
  struct State;
  explicit TokenWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace collie
