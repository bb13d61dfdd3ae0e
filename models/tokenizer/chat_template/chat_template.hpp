// A model's own chat template: the Jinja program that turns messages into the text the model was
// trained on, as Hugging Face tokenizers carry it. Renders byte for byte what transformers 5's
// apply_chat_template renders: jinja2 with trim_blocks, lstrip_blocks, loop controls, {% generation
// %} blocks, tojson without HTML escapes, raise_exception and strftime_now.
//
// Not there, refused with a line: include, import, extends, block, recursive loops, autoescape, the
// filters that nobody uses in chats (see Evaluator::filter), % and format() on strings, integers
// beyond 64 bits. Two differences: generators (map, select, ...) are computed at once, and |safe
// only matters where jinja2 would escape, which is refused.
//
// A template is a stranger's program: its length, nesting, work and output are bounded by
// limits::chat_template_*; every error is one line with the template's name and line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/chat_template/evaluator.hpp"
#include "runtime/json.hpp"
#include "runtime/result.hpp"

namespace collie {

class Tokenizer;

struct ChatOptions {
  bool add_generation_prompt = false;
  // The last message is left open, for the model to go on with it. Not with the generation prompt.
  bool continue_final_message = false;
  Json tools;                         // a list of JSON schemas, or null
  Json documents;                     // a list of {title, text}, or null
  Json variables = Json::object();    // more names for the template, enable_thinking and such
  std::optional<std::int64_t> now_s;  // for strftime_now; none: the clock
};

struct RenderedChat {
  std::string text;
  std::vector<chat::GeneratedSpan> generated;  // of {% generation %} blocks, in order of their end
};

// Immutable and cheap to copy; render() may run in several threads at once.
class ChatTemplate {
 public:
  // name stands for the template in errors. special_tokens: {"bos_token": "<s>", ...}, names the
  // template may use. Errors: invalid_file, unsupported.
  static Result<ChatTemplate> parse(std::string_view source, std::string name,
                                    Json special_tokens = Json::object());

  bool marks_generation() const { return tree_->has_generation; }
  std::string_view name() const { return *name_; }
  const std::string& source() const { return *source_; }
  // Of special_tokens; empty where there is none.
  std::string special_token(std::string_view role) const;

  // messages: a list of objects. As transformers does, keys whose value is null are left out, and
  // reasoning is known to the template as reasoning_content and as thinking. Errors: invalid_data,
  // unsupported.
  Result<RenderedChat> render(const Json& messages, const ChatOptions& options = {}) const;

 private:
  ChatTemplate() = default;
  std::shared_ptr<const chat::Tree> tree_;
  std::shared_ptr<const std::string> name_;
  std::shared_ptr<const std::string> source_;
  std::shared_ptr<const Json> special_tokens_;
};

// The template that came with this tokenizer: chat_template.jinja, else "chat_template" of
// tokenizer_config.json, of several the one named "default"; none where there is neither.
Result<std::optional<ChatTemplate>> model_chat_template(const Tokenizer& tokenizer);

// A template in a file, with the special tokens of this tokenizer.
Result<ChatTemplate> load_chat_template(const std::filesystem::path& path,
                                        const Tokenizer& tokenizer);

}  // namespace collie
