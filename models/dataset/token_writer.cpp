#include <algorithm>
#include <cstring>
#include <optional>
#include <span>

#include "models/dataset/token_shards.hpp"
#include "runtime/file.hpp"
#include "runtime/hash.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {
namespace {

constexpr std::size_t buffer_bytes = std::size_t{1} << 20;

// A file that is hashed on its way to the disk, in large pieces.
class HashedFile {
 public:
  static Result<HashedFile> create(const DirectoryWriter& directory, const std::string& name) {
    COLLIE_TRY(OutputFile file, directory.create_file(name));
    return HashedFile(std::move(file));
  }

  template <class T>
  void put(T value) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));  // this program runs on little-endian machines only
    buffer_.append(bytes, sizeof(T));
  }
  // Of each value T's bytes.
  template <class T>
  void put_all(std::span<const std::int32_t> values) {
    const std::size_t begin = buffer_.size();
    buffer_.resize(begin + values.size() * sizeof(T));
    char* out = buffer_.data() + begin;
    for (const std::int32_t value : values) {
      const T narrow = static_cast<T>(value);
      std::memcpy(out, &narrow, sizeof(T));
      out += sizeof(T);
    }
  }
  Status flush_when_full() { return buffer_.size() < buffer_bytes ? ok_status() : flush(); }
  Result<std::uint64_t> close() {
    COLLIE_TRY_VOID(flush());
    COLLIE_TRY_VOID(file_.close());
    return hash_.value();
  }

 private:
  explicit HashedFile(OutputFile file) : file_(std::move(file)) {}
  Status flush() {
    hash_.update(buffer_);
    COLLIE_TRY_VOID(file_.append(buffer_));
    buffer_.clear();
    return ok_status();
  }

  OutputFile file_;
  Hash64 hash_;
  std::string buffer_;
};

void set_bits(std::vector<std::uint8_t>& mask, std::size_t begin, std::size_t count) {
  const std::size_t end = begin + count;
  for (; begin < end && begin % 8 != 0; ++begin) {
    mask[begin / 8] |= static_cast<std::uint8_t>(1U << begin % 8);
  }
  for (; begin + 8 <= end; begin += 8) mask[begin / 8] = 0xFF;
  for (; begin < end; ++begin) mask[begin / 8] |= static_cast<std::uint8_t>(1U << begin % 8);
}

// The shard being written.
struct OpenShard {
  TokenShard entry;
  HashedFile tokens;
  HashedFile index;
  std::vector<std::uint8_t> mask;
};

// What stands there is deleted when the new directory takes its place.
Status check_replaceable(const std::string& directory) {
  if (!exists(directory)) return ok_status();
  const Result<TokenManifest> manifest = read_token_manifest(directory);
  if (!manifest.ok()) {
    return make_error(ErrorCode::invalid_config,
                      "{}: is there already and holds no tokens; name a new directory", directory);
  }
  COLLIE_TRY(const std::string foreign, foreign_entry(directory, *manifest));
  if (foreign.empty()) return ok_status();
  return make_error(ErrorCode::invalid_config,
                    "{}: holds {}, which tokenize did not write and would delete; move it away or "
                    "name a new directory",
                    directory, quoted_name(foreign));
}

}  // namespace

struct TokenWriter::State {
  DirectoryWriter directory;
  TokenManifest manifest;
  std::int64_t shard_tokens = 0;
  std::optional<OpenShard> shard;

  Status note_files_beside() {
    COLLIE_TRY(manifest.beside, list_directory(directory.temporary_path()));
    std::erase_if(manifest.beside,
                  [](const std::string& name) { return name.starts_with("shard-"); });
    return ok_status();
  }

  Status open_shard() {
    if (manifest.shards.size() >= limits::token_shards_max) {
      return make_error(ErrorCode::invalid_data, "{}: more than {} shards; make them larger",
                        directory.path(), limits::token_shards_max);
    }
    TokenShard entry;
    entry.name = fmt::format("shard-{:05}", manifest.shards.size());
    COLLIE_TRY(HashedFile tokens, HashedFile::create(directory, entry.tokens_file()));
    COLLIE_TRY(HashedFile index, HashedFile::create(directory, entry.index_file()));
    shard.emplace(OpenShard{std::move(entry), std::move(tokens), std::move(index), {}});
    return ok_status();
  }

  Status close_shard() {
    TokenShard& entry = shard->entry;
    COLLIE_TRY(entry.tokens_hash, shard->tokens.close());
    COLLIE_TRY(entry.index_hash, shard->index.close());
    if (entry.masked) {
      const auto bytes = std::as_bytes(std::span(shard->mask));
      COLLIE_TRY(OutputFile mask, directory.create_file(entry.mask_file()));
      COLLIE_TRY_VOID(mask.append(bytes));
      COLLIE_TRY_VOID(mask.close());
      entry.mask_hash = hash_bytes(bytes);
    }
    manifest.shards.push_back(std::move(entry));
    shard.reset();
    return ok_status();
  }

  void put_tokens(const EncodedRecord& record) {
    if (manifest.token_bytes == 2) {
      shard->tokens.put_all<std::uint16_t>(record.ids);
    } else {
      shard->tokens.put_all<std::uint32_t>(record.ids);
    }
  }

  void put_mask(const EncodedRecord& record) {
    const auto begin = static_cast<std::size_t>(shard->entry.tokens);
    shard->mask.resize((begin + record.ids.size() + 7) / 8);
    if (record.labels + 1 == static_cast<std::int64_t>(record.ids.size())) {
      set_bits(shard->mask, begin, record.ids.size());
      return;
    }
    for (std::size_t i = 0; i < record.ids.size(); ++i) {
      const bool learned = record.learned[i] || i == 0;  // the first is never predicted
      if (learned) shard->mask[(begin + i) / 8] |= static_cast<std::uint8_t>(1U << (begin + i) % 8);
    }
  }
};

TokenWriter::TokenWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
TokenWriter::TokenWriter(TokenWriter&&) noexcept = default;
TokenWriter& TokenWriter::operator=(TokenWriter&&) noexcept = default;
TokenWriter::~TokenWriter() = default;

Result<TokenWriter> TokenWriter::create(const std::string& directory, std::uint64_t tokenizer,
                                        std::int64_t vocabulary_size, std::int64_t shard_tokens) {
  COLLIE_CHECK(vocabulary_size >= 1 && shard_tokens >= 2, "a vocabulary of {}, shards of {} tokens",
               vocabulary_size, shard_tokens);
  COLLIE_TRY_VOID(check_replaceable(directory));
  COLLIE_TRY(DirectoryWriter writer, DirectoryWriter::create(directory));
  TokenManifest manifest;
  manifest.tokenizer = tokenizer;
  manifest.vocabulary_size = vocabulary_size;
  manifest.token_bytes = token_bytes_of(vocabulary_size);
  return TokenWriter(std::make_unique<State>(
      State{std::move(writer), std::move(manifest), shard_tokens, std::nullopt}));
}

Status TokenWriter::add(const EncodedRecord& record, bool whole_file) {
  State& state = *state_;
  ++state.manifest.records;
  if (record.labels == 0) {
    ++state.manifest.empty;
    return ok_status();
  }
  const auto length = static_cast<std::int64_t>(record.ids.size());
  const bool fits = state.shard && state.shard->entry.tokens + length <= state.shard_tokens;
  if (state.shard && !fits) COLLIE_TRY_VOID(state.close_shard());
  if (!state.shard) COLLIE_TRY_VOID(state.open_shard());
  OpenShard& shard = *state.shard;
  state.put_tokens(record);
  state.put_mask(record);
  shard.entry.tokens += length;
  shard.entry.masked = shard.entry.masked || record.labels != length - 1;
  ++shard.entry.documents;
  shard.index.put(static_cast<std::uint64_t>(shard.entry.tokens));
  shard.index.put(static_cast<std::uint32_t>(record.labels));
  shard.index.put(
      static_cast<std::uint32_t>((record.divisible ? 1U : 0U) | (whole_file ? 2U : 0U)));
  state.manifest.tokens += length;
  state.manifest.labels += record.labels;
  ++state.manifest.documents;
  COLLIE_TRY_VOID(shard.tokens.flush_when_full());
  return shard.index.flush_when_full();
}

void TokenWriter::describe(const TextEncoder& encoder, bool with_chats) {
  TokenManifest& manifest = state_->manifest;
  manifest.vocabulary = encoder.vocabulary_fingerprint();
  manifest.split = encoder.split_fingerprint();
  if (with_chats) manifest.chat_template = encoder.chat_fingerprint();
}

const std::string& TokenWriter::temporary_path() const {
  return state_->directory.temporary_path();
}

Result<TokenManifest> TokenWriter::commit() {
  State& state = *state_;
  if (state.manifest.documents == 0) {
    return make_error(ErrorCode::invalid_data, "no record with a token to predict ({} records)",
                      state.manifest.records);
  }
  COLLIE_TRY_VOID(state.close_shard());
  COLLIE_TRY_VOID(state.note_files_beside());
  COLLIE_TRY_VOID(check_replaceable(state.directory.path()));  // much later than when it began
  COLLIE_TRY_VOID(state.directory.write_file("manifest.json", to_json_text(state.manifest)));
  COLLIE_TRY_VOID(state.directory.commit());
  return state.manifest;
}

}  // namespace collie
