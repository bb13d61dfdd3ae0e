#include <system_error>

#include "models/tokenizer/gpt2_files.hpp"
#include "models/tokenizer/tokenizer_impl.hpp"
#include "runtime/file.hpp"
#include "runtime/limits.hpp"

namespace collie {

namespace fs = std::filesystem;
using tok::JsonNode;

namespace {

Result<std::string> read_file(const fs::path& path) {
  return collie::read_file(path.string(), limits::json_bytes_max);
}

// An absent file is an empty text.
Result<std::string> read_if_there(const fs::path& path) {
  std::error_code code;
  return fs::exists(path, code) ? read_file(path) : Result<std::string>(std::string());
}

// The parser owns what the node points to.
Result<JsonNode> parse_json(simdjson::dom::parser& parser, std::string_view json,
                            const std::string& name) {
  if (json.size() > limits::json_bytes_max) {
    return make_error(ErrorCode::invalid_file, "{}: larger than {} bytes", name,
                      limits::json_bytes_max);
  }
  auto error = parser.allocate(json.size(), limits::json_depth_max);
  simdjson::dom::element root;
  if (!error) error = parser.parse(json.data(), json.size()).get(root);
  if (error) {
    return make_error(ErrorCode::invalid_file, "{}: not valid JSON ({})", name,
                      simdjson::error_message(error));
  }
  if (!root.is_object()) {
    return make_error(ErrorCode::invalid_file, "{}: expected an object", name);
  }
  return JsonNode(root, name, "$");
}

}  // namespace

// The parts of a Tokenizer, in the order in which one needs the other.
class TokenizerLoader {
 public:
  static Result<Tokenizer> load(std::string_view json, const std::string& name,
                                std::string_view config_json, std::string_view special_map_json,
                                std::string_view chat_template = {}) {
    auto impl = std::make_unique<Tokenizer::Impl>();
    COLLIE_TRY_VOID(load_tokenizer(*impl, json, name));
    // tokenizer_config.json has the last word.
    COLLIE_TRY_VOID(load_roles(*impl, special_map_json, name + ": special_tokens_map.json"));
    COLLIE_TRY_VOID(load_roles(*impl, config_json, name + ": tokenizer_config.json"));
    impl->json = json;
    impl->config_json = config_json;
    impl->special_map_json = special_map_json;
    impl->chat_template = chat_template;
    return Tokenizer(std::move(impl));
  }

 private:
  static Status load_tokenizer(Tokenizer::Impl& impl, std::string_view json,
                               const std::string& name) {
    simdjson::dom::parser parser;
    COLLIE_TRY(const JsonNode root, parse_json(parser, json, name));
    if (const auto node = root.find("normalizer")) {
      COLLIE_TRY(impl.normalizer, tok::Normalizer::parse(*node));
    }
    if (const auto node = root.find("pre_tokenizer")) {
      COLLIE_TRY(impl.pre_tokenizer, tok::PreTokenizer::parse(*node));
    }
    COLLIE_TRY(const JsonNode model, root.at("model"));
    COLLIE_TRY(impl.model, tok::BpeModel::parse(model, impl.pre_tokenizer.byte_level()));
    COLLIE_TRY(impl.added, tok::AddedTokens::parse(root, impl.model.vocabulary(), impl.normalizer));
    if (const auto node = root.find("post_processor")) {
      const auto id_end = std::max(impl.model.vocabulary().id_end(), impl.added.id_end());
      COLLIE_TRY(impl.post_processor, tok::PostProcessor::parse(*node, id_end));
    }
    if (const auto node = root.find("decoder")) {
      COLLIE_TRY(impl.decoder, tok::Decoder::parse(*node));
    }
    return ok_status();
  }

  static Status load_roles(Tokenizer::Impl& impl, std::string_view json, const std::string& name) {
    if (json.empty()) return ok_status();
    simdjson::dom::parser parser;
    COLLIE_TRY(const JsonNode root, parse_json(parser, json, name));
    COLLIE_TRY_VOID(load_role(impl, root, "bos_token", impl.bos_id));
    COLLIE_TRY_VOID(load_role(impl, root, "eos_token", impl.eos_id));
    return load_role(impl, root, "pad_token", impl.pad_id);
  }

  // "<s>" or {"content": "<s>", ...}. A name that is no token is left out: configs name tokens that
  // their tokenizer never had.
  static Status load_role(const Tokenizer::Impl& impl, const JsonNode& root, std::string_view key,
                          std::optional<std::int32_t>& id) {
    const auto node = root.find(key);
    if (!node) return ok_status();
    COLLIE_TRY(const std::string_view token,
               node->is_object() ? node->string_at("content") : node->string());
    if (const auto found = impl.find(token)) id = found;
    return ok_status();
  }
};

Result<Tokenizer> Tokenizer::load(const fs::path& path) {
  std::error_code code;
  const bool is_directory = fs::is_directory(path, code);
  const fs::path directory = is_directory ? path : path.parent_path();
  const fs::path file = is_directory ? path / "tokenizer.json" : path;
  COLLIE_TRY(const std::string config, read_if_there(directory / "tokenizer_config.json"));
  COLLIE_TRY(const std::string special_map, read_if_there(directory / "special_tokens_map.json"));
  COLLIE_TRY(const std::string chat_template, read_if_there(directory / "chat_template.jinja"));
  if (!is_directory || fs::exists(file, code)) {
    COLLIE_TRY(const std::string json, read_file(file));
    return TokenizerLoader::load(json, file.string(), config, special_map, chat_template);
  }
  if (!fs::exists(path / "vocab.json", code) || !fs::exists(path / "merges.txt", code)) {
    return make_error(ErrorCode::not_found,
                      "{}: holds neither tokenizer.json nor vocab.json with merges.txt",
                      path.string());
  }
  COLLIE_TRY(const std::string vocabulary, read_file(path / "vocab.json"));
  COLLIE_TRY(const std::string merges, read_file(path / "merges.txt"));
  COLLIE_TRY(const std::string json,
             tok::gpt2_tokenizer_json(vocabulary, (path / "vocab.json").string(), merges,
                                      (path / "merges.txt").string()));
  return TokenizerLoader::load(json, path.string(),
                               config.empty() ? tok::gpt2_config_json() : std::string_view(config),
                               special_map, chat_template);
}

Result<Tokenizer> Tokenizer::from_json(std::string_view json, const std::string& name,
                                       std::string_view config_json) {
  return TokenizerLoader::load(json, name, config_json, {});
}

namespace {

Status write_file(const fs::path& path, std::string_view text) {
  return write_file_atomic(path.string(), text);
}

}  // namespace

Status Tokenizer::save(const fs::path& directory) const {
  COLLIE_TRY_VOID(write_file(directory / "tokenizer.json", impl_->json));
  if (!impl_->chat_template.empty()) {
    COLLIE_TRY_VOID(write_file(directory / "chat_template.jinja", impl_->chat_template));
  }
  if (impl_->config_json.empty()) return ok_status();
  return write_file(directory / "tokenizer_config.json", impl_->config_json);
}

}  // namespace collie
