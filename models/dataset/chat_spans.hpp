// A chat as the model's own template writes it, with the assistant's words marked as what is
// learned.
//
// Where the template has {% generation %} blocks, those are learned, as transformers'
// return_assistant_tokens_mask says. Otherwise an assistant's turn is what the template adds to the
// messages before it with their generation prompt (of a prompt that the turn does not repeat, such
// as an opened <think>, the part they share), up to and with the end-of-text token where only white
// space follows. A template may rewrite earlier turns once others follow (Qwen3 drops their
// reasoning); such a turn ends at the first end-of-text token.
#pragma once

#include "models/dataset/record.hpp"
#include "models/tokenizer/chat_template/chat_template.hpp"

namespace collie {

// The record with the spans that the template gives; as it came where it is no chat or there is no
// template. Errors begin with where: those of the template, a chat without anything to learn, and a
// template that shows earlier messages in another way once more follow.
Result<Record> render_chat(Record record, const ChatTemplate* chat_template,
                           std::string_view where);

}  // namespace collie
