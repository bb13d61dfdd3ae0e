// Private to evaluation_set.cpp: a record for training as a prompt and what should follow it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/dataset/record.hpp"
#include "models/dataset/text_encoder.hpp"

namespace collie {

struct Prompt {
  std::vector<TextSpan> spans;
  std::vector<std::string> references;
  bool templated = false;  // one text that holds its own begin token
};

// What stands before the last answer, and that answer; of plain text all of it and none. A chat is
// written by the encoder's template where it has one. Errors: those of parse_record() and
// render_chat().
Result<Prompt> training_prompt(simdjson::dom::element value, const DataSection& data,
                               const TextEncoder& encoder, std::string_view where);

}  // namespace collie
