// manifest.json of a directory of tokens, which `tokenize` writes and training maps.
//
//   manifest.json         this struct; it is read first and names all other files
//   shard-00000.tokens    the ids, 2 or 4 bytes each, little-endian (numpy: '<u2' or '<u4')
//   shard-00000.mask      one bit a token, lowest first: 1 where the token is learned; missing
//   where
//                         all are but the first of each document, which is never predicted
//   shard-00000.index     16 bytes a document, little-endian: u64 end (the place behind its last
//                         token in the shard; it begins where the one before ends), u32 labels,
//                         u32 flags (1: may be cut into pieces, 2: a whole text file)
//   tokenizer.json, ...   the tokenizer, where the program wrote the directory
//
// Hashes are XXH3-64 of whole files: they find accidents, not attackers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/result.hpp"

namespace collie {

inline constexpr std::int64_t document_entry_bytes = 16;

struct TokenShard {
  std::string name;  // "shard-00000"
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
  bool masked = false;  // whether there is a .mask
  std::uint64_t tokens_hash = 0;
  std::uint64_t mask_hash = 0;
  std::uint64_t index_hash = 0;

  std::string tokens_file() const { return name + ".tokens"; }
  std::string mask_file() const { return name + ".mask"; }
  std::string index_file() const { return name + ".index"; }
};

struct TokenManifest {
  std::uint64_t tokenizer = 0;  // TextEncoder::fingerprint()
  // Its parts, to say which differs; none in directories that were written before there were such.
  std::optional<std::uint64_t> vocabulary, split;
  // TextEncoder::chat_fingerprint(), where there are chats among the records.
  std::optional<std::uint64_t> chat_template;
  std::int64_t vocabulary_size = 0;  // all ids are below
  int token_bytes = 2;               // 2 where ids fit into 16 bits, else 4
  std::int64_t records = 0;          // read
  std::int64_t empty = 0;            // of those, left out: nothing to learn in them
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
  std::int64_t labels = 0;
  std::vector<TokenShard> shards;
  std::vector<std::string> beside;  // other files of the directory: the tokenizer's
};

// Of ids below vocabulary_size.
constexpr int token_bytes_of(std::int64_t vocabulary_size) {
  return vocabulary_size <= 65536 ? 2 : 4;
}

std::string to_json_text(const TokenManifest& manifest);

// directory/manifest.json, its counts checked against each other and limits. The other files are
// not looked at. Errors: not_found, invalid_file (file and key), unsupported for a newer version.
Result<TokenManifest> read_token_manifest(const std::string& directory);

// Whether there is such a file that says to be one, whatever else is wrong with it.
bool holds_token_manifest(const std::string& directory);

// A file or folder in the directory that is not of this manifest; empty where there is none.
Result<std::string> foreign_entry(const std::string& directory, const TokenManifest& manifest);

}  // namespace collie
