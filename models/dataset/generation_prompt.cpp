#include "models/dataset/generation_prompt.hpp"

#include "models/dataset/chat_spans.hpp"

namespace collie {
namespace {

// A template's last answer holds its end token; the words alone stand in the message.
std::string last_answer(const Record& record, const std::string& otherwise) {
  if (!record.templated || record.conversation == nullptr) return otherwise;
  const Json& messages = record.conversation->messages;
  for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
    if (!message->is_object() || message->value("role", Json()) != "assistant") continue;
    const auto content = message->find("content");
    if (content != message->end() && content->is_string()) return content->get<std::string>();
    break;
  }
  return otherwise;
}

}  // namespace

Result<Prompt> training_prompt(simdjson::dom::element value, const DataSection& data,
                               const TextEncoder& encoder, std::string_view where) {
  COLLIE_TRY(Record parsed, parse_record(value, data, where));
  COLLIE_TRY(const Record record, render_chat(std::move(parsed), encoder.chat_template(), where));
  Prompt prompt;
  if (record.shape == RecordShape::text) {
    prompt.spans.push_back({record.spans.front().text, false, false});
    return prompt;
  }
  std::size_t answer = 0;
  for (std::size_t place = 0; place < record.spans.size(); ++place) {
    if (record.spans[place].learned) answer = place;
  }
  prompt.spans.assign(record.spans.begin(),
                      record.spans.begin() + static_cast<std::ptrdiff_t>(answer));
  prompt.references.push_back(last_answer(record, record.spans[answer].text));
  prompt.templated = record.templated;
  if (!prompt.templated) return prompt;
  TextSpan whole{"", false, false};
  for (const TextSpan& span : prompt.spans) whole.text += span.text;
  prompt.spans = {std::move(whole)};
  return prompt;
}

}  // namespace collie
