#include "models/tokenizer/chat_template/chat_template.hpp"

#include <array>
#include <ctime>

#include "models/tokenizer/chat_template/parser.hpp"
#include "models/tokenizer/chat_template/text.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/file.hpp"
#include "runtime/limits.hpp"

namespace collie {
namespace {

// Reasoning comes under several names; templates read the first two (transformers 5,
// chat_template_utils._alias_reasoning_fields).
Json with_reasoning(Json message) {
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const auto found = message.find(name);
    if (found == message.end()) continue;
    Json aliased = Json::object();
    aliased["thinking"] = *found;
    for (const auto& [key, value] : message.items()) aliased[key] = value;
    aliased["reasoning_content"] = *found;
    return aliased;
  }
  return message;
}

Result<Json> normalized(const Json& messages, std::string_view name) {
  const auto refuse = [&](std::string_view what) {
    return make_error(ErrorCode::invalid_data, "{}: {}", name, what);
  };
  if (!messages.is_array()) return refuse("messages must be a list");
  if (messages.empty()) return refuse("there are no messages to render");
  Json made = Json::array();
  for (const Json& message : messages) {
    if (!message.is_object()) return refuse("each message must be an object");
    Json kept = Json::object();
    for (const auto& [key, value] : message.items()) {
      if (!value.is_null()) kept[key] = value;
    }
    made.push_back(with_reasoning(std::move(kept)));
  }
  return made;
}

constexpr std::string_view open_mark = "CONTINUE_FINAL_MESSAGE_TAG ";

// The last message's text gets a mark behind which the rendering is cut.
Result<std::string> mark_end(Json& messages, std::string_view name) {
  Json& content = messages.back()["content"];
  Json* text = content.is_string() ? &content : nullptr;
  if (content.is_array()) {
    for (auto block = content.rbegin(); block != content.rend() && text == nullptr; ++block) {
      if (block->is_object() && block->contains("text") && (*block)["text"].is_string()) {
        text = &(*block)["text"];
      }
    }
  }
  if (text == nullptr) {
    return make_error(ErrorCode::invalid_data, "{}: the last message has no text to continue",
                      name);
  }
  auto before = text->get<std::string>();
  *text = before + std::string(open_mark);
  return before;
}

Result<std::string> cut_at_mark(std::string rendered, std::string_view continued,
                                std::string_view name) {
  const std::string_view bare_mark = open_mark.substr(0, open_mark.size() - 1);
  const std::size_t place = rendered.rfind(bare_mark);
  const std::string_view stripped = chat::strip(continued, std::nullopt, chat::Sides::both);
  if (place == rendered.npos || rendered.find(stripped) == rendered.npos) {
    return make_error(ErrorCode::invalid_data,
                      "{}: the template does not show the last message as it is, so it cannot be "
                      "continued",
                      name);
  }
  const bool spaced = rendered.compare(place, open_mark.size(), open_mark) == 0;
  rendered.resize(place);
  if (!spaced) rendered.resize(place - chat::trailing_space(rendered));
  return rendered;
}

void define_all(chat::Evaluator& evaluator, const Json& names) {
  for (const auto& [name, value] : names.items()) {
    evaluator.define(name, evaluator.heap().from_json(value));
  }
}

}  // namespace

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, std::string name,
                                         Json special_tokens) {
  if (!tok::is_valid_utf8(source)) {
    return make_error(ErrorCode::invalid_file, "{}: not valid UTF-8", name);
  }
  ChatTemplate made;
  made.name_ = std::make_shared<const std::string>(std::move(name));
  made.source_ = std::make_shared<const std::string>(source);
  made.special_tokens_ = std::make_shared<const Json>(std::move(special_tokens));
  COLLIE_TRY(made.tree_, chat::parse_template(source, *made.name_));
  return made;
}

std::string ChatTemplate::special_token(std::string_view role) const {
  const auto found = special_tokens_->find(role);
  if (found == special_tokens_->end() || !found->is_string()) return {};
  return found->get<std::string>();
}

Result<RenderedChat> ChatTemplate::render(const Json& messages, const ChatOptions& options) const {
  COLLIE_TRY(Json shown, normalized(messages, *name_));
  std::string continued;
  if (options.continue_final_message) {
    if (options.add_generation_prompt) {
      return make_error(ErrorCode::invalid_data,
                        "{}: a message that goes on excludes the generation prompt", *name_);
    }
    COLLIE_TRY(continued, mark_end(shown, *name_));
  }
  const std::int64_t now_s = options.now_s.value_or(std::time(nullptr));
  chat::Evaluator evaluator(*tree_, *name_, now_s);
  define_all(evaluator, *special_tokens_);
  define_all(evaluator, options.variables);
  chat::Heap& heap = evaluator.heap();
  evaluator.define("messages", heap.from_json(shown));
  evaluator.define("tools", heap.from_json(options.tools));
  evaluator.define("documents", heap.from_json(options.documents));
  evaluator.define("add_generation_prompt", chat::boolean_value(options.add_generation_prompt));
  RenderedChat rendered;
  COLLIE_TRY(rendered.text, evaluator.render());
  rendered.generated = evaluator.generated();
  if (options.continue_final_message) {
    COLLIE_TRY(rendered.text, cut_at_mark(std::move(rendered.text), continued, *name_));
  }
  return rendered;
}

namespace {

// The named special tokens of tokenizer_config.json, else of special_tokens_map.json: "<s>" or
// {"content": "<s>", ...}.
Json special_tokens_of(const Json& config, const Json& special_map) {
  static constexpr std::array<const char*, 7> roles = {
      "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
  Json tokens = Json::object();
  for (const char* role : roles) {
    for (const Json* source : {&special_map, &config}) {
      const auto found = source->find(role);
      if (found == source->end()) continue;
      if (found->is_string()) tokens[role] = *found;
      if (found->is_object() && found->contains("content") && (*found)["content"].is_string()) {
        tokens[role] = (*found)["content"];
      }
    }
  }
  return tokens;
}

Result<Json> object_or_empty(std::string_view json, std::string_view name) {
  if (json.empty()) return Json::object();
  COLLIE_TRY(Json parsed, parse_json(json, name));
  return parsed.is_object() ? parsed : Json::object();
}

// A string, or a list of {name, template}.
std::optional<std::string> named_template(const Json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return std::nullopt;
  for (const Json& entry : *found) {
    if (!entry.is_object() || entry.value("name", Json()) != "default") continue;
    const Json source = entry.value("template", Json());
    if (source.is_string()) return source.get<std::string>();
  }
  return std::nullopt;
}

struct Parts {
  Json config;
  Json special_tokens;
};

Result<Parts> parts_of(const Tokenizer& tokenizer) {
  Parts parts;
  COLLIE_TRY(parts.config,
             object_or_empty(tokenizer.tokenizer_config_json(), "tokenizer_config.json"));
  COLLIE_TRY(const Json map,
             object_or_empty(tokenizer.special_tokens_map_json(), "special_tokens_map.json"));
  parts.special_tokens = special_tokens_of(parts.config, map);
  return parts;
}

}  // namespace

Result<std::optional<ChatTemplate>> model_chat_template(const Tokenizer& tokenizer) {
  COLLIE_TRY(Parts parts, parts_of(tokenizer));
  std::optional<std::string> source;
  std::string name = "chat_template.jinja";
  if (!tokenizer.chat_template_jinja().empty()) {
    source = std::string(tokenizer.chat_template_jinja());
  } else {
    source = named_template(parts.config);
    name = "tokenizer_config.json: chat_template";
  }
  if (!source) return std::optional<ChatTemplate>();
  COLLIE_TRY(ChatTemplate made,
             ChatTemplate::parse(*source, std::move(name), std::move(parts.special_tokens)));
  return std::optional(std::move(made));
}

Result<ChatTemplate> load_chat_template(const std::filesystem::path& path,
                                        const Tokenizer& tokenizer) {
  COLLIE_TRY(const std::string source, read_file(path.string(), limits::chat_template_bytes_max));
  COLLIE_TRY(Parts parts, parts_of(tokenizer));
  return ChatTemplate::parse(source, path.string(), std::move(parts.special_tokens));
}

}  // namespace collie
