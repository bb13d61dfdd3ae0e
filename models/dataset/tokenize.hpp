// Data files -> a directory of tokens, once, so that runs start at once and map what they read.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/dataset/text_encoder.hpp"
#include "models/dataset/token_manifest.hpp"
#include "runtime/config.hpp"

namespace collie {

struct TokenizeOptions {
  std::int64_t vocabulary_size = 0;                   // ids are below
  std::int64_t shard_tokens = std::int64_t{1} << 27;  // at most, where documents allow it
  std::int64_t batch_bytes = std::int64_t{16} << 20;  // of text that is held and encoded together
  int threads = 1;
  // Called before the directory appears, with where its files are now: to put more beside them.
  std::function<Status(const std::string& directory)> finish;
};

// Reads files in every shape that training reads (data.format, data.*_key, data.max_records...) and
// writes their tokens and loss masks as token_manifest.hpp says. The output depends on the files,
// the encoder and shard_tokens, not on threads. Streams: what is held is a batch of text and its
// tokens, or one record where that is larger. Errors: those of read_records() and TokenWriter.
Result<TokenManifest> tokenize_files(const std::vector<std::string>& files, const DataSection& data,
                                     const TextEncoder& encoder, const std::string& directory,
                                     const TokenizeOptions& options);

}  // namespace collie
