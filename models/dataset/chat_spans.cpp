#include "models/dataset/chat_spans.hpp"

#include <algorithm>
#include <optional>

#include "models/tokenizer/chat_template/text.hpp"

namespace collie {
namespace {

using chat::GeneratedSpan;

std::size_t common_prefix(std::string_view a, std::string_view b) {
  const auto differs = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  auto place = static_cast<std::size_t>(differs.first - a.begin());
  // Not in the middle of a character.
  while (place > 0 && place < b.size() && (static_cast<unsigned char>(b[place]) & 0xC0U) == 0x80U) {
    --place;
  }
  return place;
}

class TurnFinder {
 public:
  TurnFinder(const ChatTemplate& chat_template, const Conversation& conversation,
             std::string_view text)
      : template_(chat_template), conversation_(conversation), text_(text) {
    end_token_ = chat_template.special_token("eos_token");
  }

  Result<GeneratedSpan> find(std::size_t turn) const {
    if (turn == 0) return unstable();
    COLLIE_TRY(const std::string before, render(turn, false));
    COLLIE_TRY(const std::string prompt, render(turn, true));
    GeneratedSpan span;
    span.begin = common_prefix(prompt, text_);
    const bool stable = text_.starts_with(before) && span.begin >= before.size();
    if (span.begin != prompt.size() && !stable) return unstable();
    COLLIE_TRY(const std::string after, render(turn + 1, false));
    if (text_.starts_with(after) && after.size() >= span.begin) {
      span.end = without_tail(span.begin, after.size());
      return span;
    }
    const std::size_t end = end_token_.empty() ? text_.npos : text_.find(end_token_, span.begin);
    if (end == text_.npos) return unstable();
    span.end = end + end_token_.size();
    return span;
  }

 private:
  Result<std::string> render(std::size_t count, bool prompt) const {
    Json messages = Json::array();
    for (std::size_t i = 0; i < count; ++i) messages.push_back(conversation_.messages[i]);
    ChatOptions options;
    options.tools = conversation_.tools;
    options.add_generation_prompt = prompt;
    COLLIE_TRY(RenderedChat rendered, template_.render(messages, options));
    return std::move(rendered.text);
  }

  std::size_t without_tail(std::size_t begin, std::size_t end) const {
    if (end_token_.empty()) return end;
    std::string_view turn = text_.substr(begin, end - begin);
    turn.remove_suffix(chat::trailing_space(turn));
    return turn.ends_with(end_token_) ? begin + turn.size() : end;
  }

  Error unstable() const {
    return make_error(ErrorCode::invalid_data,
                      "{}: the template shows messages in another way once others follow, so the "
                      "assistant's words cannot be found; set data.chat_template to \"plain\" or "
                      "to a template with generation blocks",
                      template_.name());
  }

  const ChatTemplate& template_;
  const Conversation& conversation_;
  std::string_view text_;
  std::string end_token_;
};

bool is_assistant(const Json& message) {
  const auto role = message.find("role");
  return role != message.end() && *role == "assistant";
}

Result<std::vector<GeneratedSpan>> assistant_spans(const ChatTemplate& chat_template,
                                                   const Conversation& conversation,
                                                   RenderedChat& rendered) {
  std::vector<GeneratedSpan> spans;
  if (chat_template.marks_generation()) {
    spans = std::move(rendered.generated);
    std::sort(spans.begin(), spans.end(),
              [](const GeneratedSpan& a, const GeneratedSpan& b) { return a.begin < b.begin; });
    return spans;
  }
  const TurnFinder finder(chat_template, conversation, rendered.text);
  for (std::size_t turn = 0; turn < conversation.messages.size(); ++turn) {
    if (!is_assistant(conversation.messages[turn])) continue;
    COLLIE_TRY(const GeneratedSpan span, finder.find(turn));
    spans.push_back(span);
  }
  return spans;
}

std::vector<TextSpan> cut(const std::string& text, const std::vector<GeneratedSpan>& generated) {
  std::vector<TextSpan> spans;
  std::size_t place = 0;
  for (const GeneratedSpan& part : generated) {
    const std::size_t begin = std::clamp(part.begin, place, text.size());
    const std::size_t end = std::clamp(part.end, begin, text.size());
    if (begin == end) continue;
    if (begin > place) spans.push_back({text.substr(place, begin - place), false, false});
    spans.push_back({text.substr(begin, end - begin), true, false});
    place = end;
  }
  if (place < text.size()) spans.push_back({text.substr(place), false, false});
  return spans;
}

Result<std::vector<TextSpan>> template_spans(const ChatTemplate& chat_template,
                                             const Conversation& conversation) {
  ChatOptions options;
  options.tools = conversation.tools;
  COLLIE_TRY(RenderedChat rendered, chat_template.render(conversation.messages, options));
  COLLIE_TRY(const std::vector<GeneratedSpan> generated,
             assistant_spans(chat_template, conversation, rendered));
  std::vector<TextSpan> spans = cut(rendered.text, generated);
  const bool learns =
      std::any_of(spans.begin(), spans.end(), [](const TextSpan& span) { return span.learned; });
  if (!learns) {
    return make_error(ErrorCode::invalid_data,
                      "no message of the assistant, so there is nothing to learn");
  }
  return spans;
}

}  // namespace

Result<Record> render_chat(Record record, const ChatTemplate* chat_template,
                           std::string_view where) {
  if (!record.conversation) return record;
  if (chat_template == nullptr) {
    if (!record.conversation->plain_error.message.empty()) return record.conversation->plain_error;
    return record;
  }
  Result<std::vector<TextSpan>> spans = template_spans(*chat_template, *record.conversation);
  if (!spans.ok()) {
    return make_error(spans.error().code, "{}: {}", where, spans.error().message);
  }
  record.spans = std::move(*spans);
  record.templated = true;
  return record;
}

}  // namespace collie
