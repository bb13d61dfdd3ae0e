#include "models/dataset/token_manifest.hpp"

#include <set>

#include "runtime/file.hpp"
#include "runtime/hash.hpp"
#include "runtime/json.hpp"
#include "runtime/limits.hpp"

namespace collie {
namespace {

constexpr std::string_view format_name = "collie-tokens";
constexpr std::int64_t version = 1;
constexpr std::int64_t tokens_max =
    limits::token_shard_tokens_max * static_cast<std::int64_t>(limits::token_shards_max);

Json json_of(const TokenShard& shard) {
  Json hashes = {{"tokens", hash_text(shard.tokens_hash)}, {"index", hash_text(shard.index_hash)}};
  if (shard.masked) hashes["mask"] = hash_text(shard.mask_hash);
  return {{"name", shard.name},
          {"documents", shard.documents},
          {"tokens", shard.tokens},
          {"hashes", hashes}};
}

Result<std::uint64_t> get_hash(const JsonReader& reader, std::string_view key) {
  COLLIE_TRY(const std::string text, reader.get_string(key));
  const auto hash = hash_from_text(text);
  if (!hash) return reader.error(key, "expected 16 hexadecimal digits");
  return *hash;
}

Result<TokenShard> read_shard(const JsonReader& reader) {
  TokenShard shard;
  COLLIE_TRY(shard.name, reader.get_string("name"));
  if (!is_safe_component(shard.name)) return reader.error("name", "not a plain file name");
  COLLIE_TRY(shard.tokens, reader.get_int("tokens", 2, limits::token_shard_tokens_max));
  // Each document has at least two tokens.
  COLLIE_TRY(shard.documents, reader.get_int("documents", 1, shard.tokens / 2));
  COLLIE_TRY(const JsonReader hashes, reader.get_object("hashes"));
  COLLIE_TRY(shard.tokens_hash, get_hash(hashes, "tokens"));
  COLLIE_TRY(shard.index_hash, get_hash(hashes, "index"));
  shard.masked = hashes.has("mask");
  if (shard.masked) {
    COLLIE_TRY(shard.mask_hash, get_hash(hashes, "mask"));
  }
  return shard;
}

Status read_optional_hash(const JsonReader& reader, std::string_view key,
                          std::optional<std::uint64_t>& hash) {
  if (!reader.has(key)) return ok_status();
  COLLIE_TRY(hash, get_hash(reader, key));
  return ok_status();
}

Status read_beside(const JsonReader& reader, TokenManifest& manifest) {
  if (!reader.has("beside")) {
    manifest.beside = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"};
    return ok_status();
  }
  COLLIE_TRY(manifest.beside, reader.get_strings("beside"));
  return ok_status();
}

Status read_shards(const JsonReader& reader, const std::string& file, TokenManifest& manifest) {
  COLLIE_TRY(const Json* shards, reader.get_array("shards"));
  if (shards->empty() || shards->size() > limits::token_shards_max) {
    return reader.error("shards", fmt::format("expected 1 to {} shards", limits::token_shards_max));
  }
  std::int64_t documents = 0, tokens = 0;
  for (std::size_t number = 0; number < shards->size(); ++number) {
    COLLIE_TRY(const JsonReader entry,
               JsonReader::open((*shards)[number], file, fmt::format("shards[{}]", number)));
    COLLIE_TRY(TokenShard shard, read_shard(entry));
    documents += shard.documents;
    tokens += shard.tokens;
    manifest.shards.push_back(std::move(shard));
  }
  if (documents != manifest.documents) {
    return reader.error("documents", "not the sum over the shards");
  }
  if (tokens != manifest.tokens) return reader.error("tokens", "not the sum over the shards");
  return ok_status();
}

}  // namespace

std::string to_json_text(const TokenManifest& manifest) {
  Json shards = Json::array();
  for (const TokenShard& shard : manifest.shards) shards.push_back(json_of(shard));
  Json json = {
      {"format", format_name}, {"version", version}, {"tokenizer", hash_text(manifest.tokenizer)}};
  if (manifest.vocabulary) json["vocabulary_hash"] = hash_text(*manifest.vocabulary);
  if (manifest.split) json["split_hash"] = hash_text(*manifest.split);
  if (manifest.chat_template) json["chat_template_hash"] = hash_text(*manifest.chat_template);
  json.update({{"vocabulary_size", manifest.vocabulary_size},
               {"token_bytes", manifest.token_bytes},
               {"records", manifest.records},
               {"empty", manifest.empty},
               {"documents", manifest.documents},
               {"tokens", manifest.tokens},
               {"labels", manifest.labels},
               {"shards", shards},
               {"beside", manifest.beside}});
  return dump_json(json) + "\n";
}

Result<TokenManifest> read_token_manifest(const std::string& directory) {
  const std::string file = join_path(directory, "manifest.json");
  COLLIE_TRY(const Json json, read_json(file));
  COLLIE_TRY(const JsonReader reader, JsonReader::open(json, file));
  COLLIE_TRY(const std::string format, reader.get_string("format"));
  if (format != format_name) return reader.error("format", "not a directory of tokens");
  COLLIE_TRY(const std::int64_t found, reader.get_int("version", 1, 1'000'000));
  if (found != version) {
    return make_error(ErrorCode::unsupported,
                      "{}: version {}, this program reads {}; run tokenize again", file, found,
                      version);
  }
  TokenManifest manifest;
  COLLIE_TRY(manifest.tokenizer, get_hash(reader, "tokenizer"));
  COLLIE_TRY_VOID(read_optional_hash(reader, "vocabulary_hash", manifest.vocabulary));
  COLLIE_TRY_VOID(read_optional_hash(reader, "split_hash", manifest.split));
  COLLIE_TRY_VOID(read_optional_hash(reader, "chat_template_hash", manifest.chat_template));
  COLLIE_TRY(manifest.vocabulary_size,
             reader.get_int("vocabulary_size", 1, limits::vocabulary_max));
  COLLIE_TRY(const std::int64_t token_bytes, reader.get_int("token_bytes", 2, 4));
  if (token_bytes != token_bytes_of(manifest.vocabulary_size)) {
    return reader.error("token_bytes", "does not follow from vocabulary_size");
  }
  manifest.token_bytes = static_cast<int>(token_bytes);
  COLLIE_TRY(manifest.records, reader.get_int("records", 1, tokens_max));
  COLLIE_TRY(manifest.empty, reader.get_int("empty", 0, manifest.records));
  COLLIE_TRY(manifest.tokens, reader.get_int("tokens", 2, tokens_max));
  COLLIE_TRY(manifest.documents, reader.get_int("documents", 1, manifest.records));
  COLLIE_TRY(manifest.labels, reader.get_int("labels", manifest.documents, manifest.tokens));
  COLLIE_TRY_VOID(read_shards(reader, file, manifest));
  COLLIE_TRY_VOID(read_beside(reader, manifest));
  COLLIE_TRY_VOID(reader.refuse_unknown_keys());
  return manifest;
}

bool holds_token_manifest(const std::string& directory) {
  const auto json = read_json(join_path(directory, "manifest.json"));
  return json && json->is_object() && json->contains("format") && json->at("format") == format_name;
}

Result<std::string> foreign_entry(const std::string& directory, const TokenManifest& manifest) {
  std::set<std::string> own(manifest.beside.begin(), manifest.beside.end());
  own.insert("manifest.json");
  for (const TokenShard& shard : manifest.shards) {
    own.insert({shard.tokens_file(), shard.index_file()});
    if (shard.masked) own.insert(shard.mask_file());
  }
  COLLIE_TRY(const std::vector<std::string> names, list_directory(directory));
  for (const std::string& name : names) {
    if (!own.contains(name)) return name;
  }
  return std::string();
}

}  // namespace collie
