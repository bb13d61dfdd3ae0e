#include "models/dataset/record.hpp"

#include <optional>

#include "runtime/limits.hpp"

namespace collie {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

std::optional<element> find(const object& fields, std::string_view key) {
  element value;
  if (fields.at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  return value;
}

Result<std::string> string_field(const object& fields, std::string_view key,
                                 std::string_view where) {
  const std::optional<element> value = find(fields, key);
  if (!value) {
    return make_error(ErrorCode::invalid_data, "{}: field \"{}\" is missing", where, key);
  }
  std::string_view text;
  if (value->get(text) != simdjson::SUCCESS) {
    return make_error(ErrorCode::invalid_data, "{}: field \"{}\" must be a string", where, key);
  }
  return std::string(text);
}

std::string alpaca_prompt(std::string_view instruction, std::string_view input) {
  if (input.empty()) {
    return fmt::format(
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\n{}\n\n### Response:\n",
        instruction);
  }
  return fmt::format(
      "Below is an instruction that describes a task, paired with an input that provides further "
      "context. Write a response that appropriately completes the request.\n\n"
      "### Instruction:\n{}\n\n### Input:\n{}\n\n### Response:\n",
      instruction, input);
}

Result<std::vector<TextSpan>> alpaca_spans(const object& fields, const DataSection& data,
                                           std::string_view where) {
  COLLIE_TRY(const std::string instruction, string_field(fields, data.instruction_key, where));
  COLLIE_TRY(std::string output, string_field(fields, data.output_key, where));
  std::string input;
  if (find(fields, data.input_key)) {
    COLLIE_TRY(input, string_field(fields, data.input_key, where));
  }
  return std::vector<TextSpan>{{alpaca_prompt(instruction, input), false, false},
                               {std::move(output), true, true}};
}

Result<std::vector<TextSpan>> pair_spans(const object& fields, const DataSection& data,
                                         std::string_view where) {
  COLLIE_TRY(std::string input, string_field(fields, data.input_key, where));
  COLLIE_TRY(std::string output, string_field(fields, data.output_key, where));
  return std::vector<TextSpan>{{std::move(input), false, false}, {std::move(output), true, true}};
}

Status append_turn(element turn, std::vector<TextSpan>& spans, std::string_view where) {
  object fields;
  if (turn.get(fields) != simdjson::SUCCESS) {
    return make_error(ErrorCode::invalid_data, "{}: each message must be an object", where);
  }
  COLLIE_TRY(const std::string role, string_field(fields, "role", where));
  COLLIE_TRY(const std::string content, string_field(fields, "content", where));
  if (role == "system") {
    spans.push_back({fmt::format("### System:\n{}\n\n", content), false, false});
  } else if (role == "user") {
    spans.push_back({fmt::format("### User:\n{}\n\n", content), false, false});
  } else if (role == "assistant") {
    spans.push_back({"### Assistant:\n", false, false});
    spans.push_back({content, true, true});
  } else {
    return make_error(ErrorCode::invalid_data,
                      "{}: a message's role must be system, user or assistant", where);
  }
  return ok_status();
}

Result<std::vector<TextSpan>> chat_spans(element messages, const DataSection& data,
                                         std::string_view where) {
  simdjson::dom::array turns;
  if (messages.get(turns) != simdjson::SUCCESS) {
    return make_error(ErrorCode::invalid_data, "{}: field \"{}\" must be a list of messages", where,
                      data.messages_key);
  }
  std::vector<TextSpan> spans;
  for (const element turn : turns) COLLIE_TRY_VOID(append_turn(turn, spans, where));
  for (const TextSpan& span : spans) {
    if (span.learned) return spans;
  }
  return make_error(ErrorCode::invalid_data,
                    "{}: no message of the assistant, so there is nothing to learn", where);
}

Result<Json> as_json(element value, std::string_view where) {
  return parse_json(std::string(simdjson::minify(value)), where);
}

Result<Record> chat_record(const object& fields, element messages, const DataSection& data,
                           std::string_view where) {
  Record record;
  record.shape = RecordShape::chat;
  Result<std::vector<TextSpan>> spans = chat_spans(messages, data, where);
  if (spans.ok()) record.spans = std::move(*spans);
  if (data.chat_template == "plain") {
    if (!spans.ok()) return std::move(spans).error();
    return record;
  }
  Conversation conversation;
  if (!spans.ok()) conversation.plain_error = std::move(spans).error();
  COLLIE_TRY(conversation.messages, as_json(messages, where));
  if (const auto tools = find(fields, "tools")) {
    COLLIE_TRY(conversation.tools, as_json(*tools, where));
  }
  record.conversation = std::make_shared<const Conversation>(std::move(conversation));
  return record;
}

Result<Record> read_spans(const object& fields, const DataSection& data, std::string_view where) {
  if (const auto messages = find(fields, data.messages_key)) {
    return chat_record(fields, *messages, data, where);
  }
  if (find(fields, data.instruction_key)) {
    COLLIE_TRY(auto spans, alpaca_spans(fields, data, where));
    return Record{RecordShape::alpaca, std::move(spans), nullptr, false};
  }
  if (find(fields, data.input_key) && find(fields, data.output_key)) {
    COLLIE_TRY(auto spans, pair_spans(fields, data, where));
    return Record{RecordShape::pair, std::move(spans), nullptr, false};
  }
  if (find(fields, data.text_key)) {
    COLLIE_TRY(std::string text, string_field(fields, data.text_key, where));
    return Record{RecordShape::text, {{std::move(text), true, true}}, nullptr, false};
  }
  return make_error(
      ErrorCode::invalid_data,
      "{}: needs \"{}\", \"{}\" and \"{}\", \"{}\" and \"{}\", or \"{}\"; other names "
      "go into data.text_key, data.input_key and so on",
      where, data.text_key, data.input_key, data.output_key, data.instruction_key, data.output_key,
      data.messages_key);
}

}  // namespace

std::string_view to_string(RecordShape shape) {
  switch (shape) {
    case RecordShape::text:
      return "text";
    case RecordShape::pair:
      return "input and output";
    case RecordShape::alpaca:
      return "instruction and output";
    case RecordShape::chat:
      return "messages";
  }
  return "unknown";
}

Result<Record> parse_record(element value, const DataSection& data, std::string_view where) {
  object fields;
  if (value.get(fields) != simdjson::SUCCESS) {
    return make_error(ErrorCode::invalid_data, "{}: a record must be a JSON object", where);
  }
  COLLIE_TRY(Record record, read_spans(fields, data, where));
  std::size_t bytes = 0;
  for (const TextSpan& span : record.spans) bytes += span.text.size();
  if (bytes > limits::record_bytes_max) {
    return make_error(ErrorCode::invalid_data, "{}: {} bytes of text in one record, at most {}",
                      where, bytes, limits::record_bytes_max);
  }
  return record;
}

}  // namespace collie
