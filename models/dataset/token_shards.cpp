#include "models/dataset/token_shards.hpp"

#include <algorithm>
#include <cstring>
#include <span>

#include "runtime/file.hpp"
#include "runtime/hash.hpp"

namespace collie {
namespace {

constexpr std::size_t verify_bytes = std::size_t{16} << 20;

template <class... Args>
Error damaged(const std::string& file, fmt::format_string<Args...> format, Args&&... args) {
  return make_error(ErrorCode::invalid_file, "{}: {}; the file is damaged, run tokenize again",
                    file, fmt::format(format, std::forward<Args>(args)...));
}

template <class T>
T load(std::span<const std::byte> bytes, std::size_t place) {
  T value;
  std::memcpy(&value, bytes.data() + place * sizeof(T), sizeof(T));
  return value;
}

using Mapped = std::shared_ptr<const MappedFile>;

// Tokens of one shard; what it maps was verified.
class ShardBlock : public TokenBlock {
 public:
  ShardBlock(Mapped tokens, Mapped mask, std::int64_t size, int token_bytes, std::uint32_t id_max)
      : tokens_(std::move(tokens)),
        mask_(std::move(mask)),
        size_(size),
        token_bytes_(token_bytes),
        id_max_(id_max) {}

  std::int64_t size() const override { return size_; }
  std::size_t memory_bytes() const override { return 0; }

  void copy(std::int64_t begin, std::int64_t count, std::int32_t* ids,
            std::uint8_t* learned) const override {
    std::uint32_t greatest = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint32_t id = id_at(static_cast<std::size_t>(begin + i));
      greatest = std::max(greatest, id);
      ids[i] = static_cast<std::int32_t>(id);
      learned[i] = learned_at(static_cast<std::size_t>(begin + i));
    }
    // Ids index the embedding, so they are never trusted, not even after they were verified.
    COLLIE_CHECK(greatest <= id_max_, "{}: changed while it was read", tokens_->path());
  }

  std::uint8_t learned_at(std::size_t place) const {
    if (!mask_) return 1;
    return (std::to_integer<unsigned>(mask_->bytes()[place / 8]) >> place % 8) & 1U;
  }

 private:
  std::uint32_t id_at(std::size_t place) const {
    return token_bytes_ == 2 ? load<std::uint16_t>(tokens_->bytes(), place)
                             : load<std::uint32_t>(tokens_->bytes(), place);
  }

  Mapped tokens_;
  Mapped mask_;  // null: all are learned
  std::int64_t size_;
  int token_bytes_;
  std::uint32_t id_max_;
};

std::uint32_t greatest_id(std::span<const std::byte> bytes, int token_bytes) {
  std::uint32_t greatest = 0;
  const std::size_t count = bytes.size() / static_cast<std::size_t>(token_bytes);
  for (std::size_t place = 0; place < count; ++place) {
    greatest =
        std::max<std::uint32_t>(greatest, token_bytes == 2 ? load<std::uint16_t>(bytes, place)
                                                           : load<std::uint32_t>(bytes, place));
  }
  return greatest;
}

// Maps one file of the directory; its size and hash are what the manifest says. on_piece sees all
// of it in pieces of whole tokens, whose pages are given back at once.
template <class OnPiece>
Result<Mapped> map_verified(const std::string& directory, const std::string& name,
                            std::int64_t size_bytes, std::uint64_t hash, OnPiece on_piece) {
  COLLIE_TRY(Mapped file, MappedFile::open_inside(directory, name));
  const std::span<const std::byte> bytes = file->bytes();
  if (bytes.size() != static_cast<std::size_t>(size_bytes)) {
    return damaged(file->path(), "{} bytes where manifest.json says {}", bytes.size(), size_bytes);
  }
  Hash64 found;
  for (std::size_t begin = 0; begin < bytes.size(); begin += verify_bytes) {
    const auto piece = bytes.subspan(begin, std::min(verify_bytes, bytes.size() - begin));
    found.update(piece);
    on_piece(piece);
    file->drop_pages(begin, piece.size());
  }
  if (found.value() != hash) return damaged(file->path(), "its hash is not that of manifest.json");
  file->advise(Access::random);
  return file;
}

class DirectoryMapper {
 public:
  DirectoryMapper(const std::string& directory, const TokenManifest& manifest,
                  std::int64_t vocabulary_size, TokenStore& store, std::vector<Document>& documents)
      : directory_(directory),
        manifest_(manifest),
        vocabulary_size_(vocabulary_size),
        store_(store),
        documents_(documents) {}

  Status map(const TokenShard& shard) {
    COLLIE_TRY(Mapped tokens, map_tokens(shard));
    Mapped mask;
    const auto nothing = [](std::span<const std::byte>) {};
    if (shard.masked) {
      COLLIE_TRY(mask, map_verified(directory_, shard.mask_file(), (shard.tokens + 7) / 8,
                                    shard.mask_hash, nothing));
    }
    COLLIE_TRY(const Mapped index,
               map_verified(directory_, shard.index_file(), shard.documents * document_entry_bytes,
                            shard.index_hash, nothing));
    auto block = std::make_shared<const ShardBlock>(
        std::move(tokens), mask, shard.tokens, manifest_.token_bytes,
        static_cast<std::uint32_t>(manifest_.vocabulary_size - 1));
    COLLIE_TRY_VOID(read_index(shard, *index, *block));
    if (mask) mask->drop_pages(0, mask->bytes().size());
    store_.add(std::move(block));
    return ok_status();
  }

  std::int64_t labels() const { return labels_; }

 private:
  Result<Mapped> map_tokens(const TokenShard& shard) const {
    std::uint32_t greatest = 0;
    const auto look = [&](std::span<const std::byte> piece) {
      greatest = std::max(greatest, greatest_id(piece, manifest_.token_bytes));
    };
    COLLIE_TRY(Mapped tokens,
               map_verified(directory_, shard.tokens_file(), shard.tokens * manifest_.token_bytes,
                            shard.tokens_hash, look));
    if (greatest >= manifest_.vocabulary_size) {
      return damaged(tokens->path(), "token id {} in a vocabulary of {}", greatest,
                     manifest_.vocabulary_size);
    }
    if (vocabulary_size_ > 0 && greatest >= vocabulary_size_) {
      return make_error(ErrorCode::invalid_data,
                        "{}: token id {} does not fit the model's vocabulary of {}; the tokenizer "
                        "belongs to another model; for new tokens set "
                        "model.resize_vocabulary",
                        tokens->path(), greatest, vocabulary_size_);
    }
    return tokens;
  }

  Status read_index(const TokenShard& shard, const MappedFile& index, const ShardBlock& block) {
    const std::int64_t offset = store_.size();
    std::int64_t begin = 0;
    for (std::int64_t number = 0; number < shard.documents; ++number) {
      const auto entry = index.bytes().subspan(static_cast<std::size_t>(number * 16), 16);
      const auto end = load<std::uint64_t>(entry, 0);
      const auto flags = load<std::uint32_t>(entry, 3);
      // The bounds come first: end is any 64-bit number.
      if (end > static_cast<std::uint64_t>(shard.tokens) ||
          static_cast<std::int64_t>(end) < begin + 2 || flags > 3) {
        return damaged(index.path(), "document {} does not fit", number);
      }
      Document document{begin, static_cast<std::int64_t>(end), load<std::uint32_t>(entry, 2),
                        (flags & 1U) != 0, (flags & 2U) != 0};
      if (document.labels != count_labels(shard, block, document)) {
        return damaged(index.path(), "the labels of document {} are not those of the mask", number);
      }
      begin = document.end;
      labels_ += document.labels;
      document.begin += offset;
      document.end += offset;
      documents_.push_back(document);
    }
    if (begin != shard.tokens) return damaged(index.path(), "the documents end at {}", begin);
    return ok_status();
  }

  // What cannot be a number of labels (-1) where a row could have none: a document without any, and
  // one that may be cut anywhere but is not learned everywhere.
  static std::int64_t count_labels(const TokenShard& shard, const ShardBlock& block,
                                   const Document& document) {
    if (!shard.masked) return document.length() - 1;
    std::int64_t count = 0;
    for (std::int64_t token = document.begin + 1; token < document.end; ++token) {
      count += block.learned_at(static_cast<std::size_t>(token));
    }
    return count == 0 || (document.divisible && count < document.length() - 1) ? -1 : count;
  }

  const std::string& directory_;
  const TokenManifest& manifest_;
  std::int64_t vocabulary_size_;
  TokenStore& store_;
  std::vector<Document>& documents_;
  std::int64_t labels_ = 0;
};

Status check_encoder(const std::string& directory, const TokenManifest& manifest,
                     const TextEncoder& encoder) {
  if (manifest.tokenizer != encoder.fingerprint()) {
    std::string_view what;
    if (manifest.vocabulary) what = ": its vocabulary differs";
    if (manifest.vocabulary == encoder.vocabulary_fingerprint()) {
      what = ": with the same vocabulary, it splits or frames text in another way";
    }
    return make_error(ErrorCode::invalid_data,
                      "{}: these tokens were made with another tokenizer than the model's{}; run "
                      "tokenize again with this one, or set model.tokenizer",
                      directory, what);
  }
  if (!manifest.chat_template || manifest.chat_template == encoder.chat_fingerprint()) {
    return ok_status();
  }
  return make_error(
      ErrorCode::invalid_data,
      "{}: these tokens are chats that were written with {}, and data.chat_template "
      "now means {}; run tokenize again, or set data.chat_template as it was",
      directory, *manifest.chat_template == 0 ? "the plain form" : "another chat template",
      encoder.chat_template() == nullptr ? std::string("the plain form")
                                         : std::string(encoder.chat_template()->name()));
}

}  // namespace

bool is_token_directory(const std::string& path) {
  return is_directory(path);
}

Result<TokenManifest> map_token_directory(const std::string& directory, const TextEncoder& encoder,
                                          std::int64_t vocabulary_size, std::int64_t max_documents,
                                          TokenStore& store, std::vector<Document>& documents) {
  COLLIE_TRY(const TokenManifest manifest, read_token_manifest(directory));
  COLLIE_TRY_VOID(check_encoder(directory, manifest, encoder));
  const std::size_t before = documents.size();
  DirectoryMapper mapper(directory, manifest, vocabulary_size, store, documents);
  for (const TokenShard& shard : manifest.shards) COLLIE_TRY_VOID(mapper.map(shard));
  if (mapper.labels() != manifest.labels) {
    return damaged(join_path(directory, "manifest.json"), "{} labels where the shards have {}",
                   manifest.labels, mapper.labels());
  }
  if (max_documents > 0 && documents.size() - before > static_cast<std::size_t>(max_documents)) {
    documents.resize(before + static_cast<std::size_t>(max_documents));
  }
  return manifest;
}

Status verify_token_files(const std::string& directory, const TokenManifest& manifest) {
  const auto nothing = [](std::span<const std::byte>) {};
  const auto verify = [&](const std::string& name, std::int64_t size_bytes,
                          std::uint64_t hash) -> Status {
    COLLIE_TRY(const Mapped file, map_verified(directory, name, size_bytes, hash, nothing));
    return ok_status();
  };
  for (const TokenShard& shard : manifest.shards) {
    COLLIE_TRY_VOID(
        verify(shard.tokens_file(), shard.tokens * manifest.token_bytes, shard.tokens_hash));
    COLLIE_TRY_VOID(
        verify(shard.index_file(), shard.documents * document_entry_bytes, shard.index_hash));
    if (!shard.masked) continue;
    COLLIE_TRY_VOID(verify(shard.mask_file(), (shard.tokens + 7) / 8, shard.mask_hash));
  }
  return ok_status();
}

}  // namespace collie
