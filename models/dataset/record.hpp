// One record of a JSON dataset as the text a model sees. The shape is told by the fields:
//
//   {messages: [{role, content}, ...]}    chat: each turn is "### <Role>:\n<content>", a turn of
//                                         the assistant ends with the end-of-text token, others
//                                         with "\n\n"; loss on the assistant's content and that
//                                         token. Roles: system, user, assistant. This is the
//                                         plain form; data.chat_template says when a template
//                                         takes its place, with any roles and with tools.
//   {instruction, input?, output}         the Alpaca prompt below; loss on output and end of text
//   {input, output}                       nothing is added between; loss on output and end of text
//   {text}                                loss on all of it and end of text
//
// The first that fits counts; other fields are ignored. The Alpaca prompt, with the parts in
// brackets only when there is an input (Taori et al. 2023):
//   Below is an instruction that describes a task[, paired with an input that provides further
//   context]. Write a response that appropriately completes the request.\n\n### Instruction:\n
//   <instruction>\n\n[### Input:\n<input>\n\n]### Response:\n
#pragma once

#include <simdjson.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/config.hpp"
#include "runtime/json.hpp"
#include "runtime/result.hpp"

namespace collie {

enum class RecordShape { text, pair, alpaca, chat };
std::string_view to_string(RecordShape shape);

// Text that is learned or only read; end_of_text follows it with the tokenizer's end-of-text token.
struct TextSpan {
  std::string text;
  bool learned = true;
  bool end_of_text = false;
  bool operator==(const TextSpan&) const = default;
};

// A chat as it came, for a model's own template (see chat_spans.hpp).
struct Conversation {
  Json messages;
  Json tools;         // of the record's field "tools": a list of JSON schemas, or null
  Error plain_error;  // why the plain form cannot show it; no message: it can
};

struct Record {
  RecordShape shape = RecordShape::text;
  std::vector<TextSpan> spans;
  // Of chats, unless data.chat_template is "plain".
  std::shared_ptr<const Conversation> conversation;
  bool templated = false;  // the spans are one text that holds its own begin and end tokens
};

// where ("data.jsonl:17") begins the message of an error: not an object, no known field, a field
// that is not a string, a chat without an assistant's turn, more than limits::record_bytes_max.
Result<Record> parse_record(simdjson::dom::element element, const DataSection& data,
                            std::string_view where);

}  // namespace collie
