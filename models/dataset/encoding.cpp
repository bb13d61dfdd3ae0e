#include "models/dataset/encoding.hpp"

#include <algorithm>
#include <string>

namespace collie {
namespace {

// An empty answer still teaches its end; an empty text teaches nothing.
bool has_text(const Record& record) {
  return record.shape != RecordShape::text || !record.spans.front().text.empty();
}

// A chat from a template is one text; a token is learned when it touches a learned span.
void append_templated(const Record& record, const TextEncoder& encoder, EncodedRecord& encoded) {
  std::string text;
  std::vector<std::size_t> parts;
  for (const TextSpan& span : record.spans) {
    if (!text.empty()) parts.push_back(text.size());
    text += span.text;
  }
  TextEncoder::PartTokens tokens = encoder.encode_parts(text, parts);
  for (std::size_t i = 0; i < tokens.ids.size(); ++i) {
    const auto first = record.spans.begin() + static_cast<std::ptrdiff_t>(tokens.first_part[i]);
    const auto last = record.spans.begin() + static_cast<std::ptrdiff_t>(tokens.last_part[i]) + 1;
    encoded.learned.push_back(
        std::any_of(first, last, [](const TextSpan& span) { return span.learned; }));
  }
  encoded.ids = std::move(tokens.ids);
  if (encoded.ids.size() < 2) return;
  encoded.labels = std::count(encoded.learned.begin() + 1, encoded.learned.end(), true);
}

}  // namespace

EncodedRecord encode_record(const Record& record, const TextEncoder& encoder) {
  EncodedRecord encoded;
  encoded.divisible = record.shape == RecordShape::text;
  if (!has_text(record)) return encoded;
  const auto append = [&](std::int32_t id, bool learned) {
    encoded.ids.push_back(id);
    encoded.learned.push_back(learned);
  };
  if (record.templated) {
    append_templated(record, encoder, encoded);
    return encoded;
  }
  if (const auto id = encoder.begin_id()) append(*id, false);
  for (const TextSpan& span : record.spans) {
    const std::vector<std::int32_t> ids = encoder.encode(span.text);
    encoded.ids.insert(encoded.ids.end(), ids.begin(), ids.end());
    encoded.learned.insert(encoded.learned.end(), ids.size(), span.learned);
    if (!span.end_of_text) continue;
    if (const auto id = encoder.end_id()) append(*id, span.learned);
  }
  if (encoded.ids.size() >= 2) {
    encoded.labels = std::count(encoded.learned.begin() + 1, encoded.learned.end(), true);
  }
  return encoded;
}

Status check_ids(const std::vector<std::int32_t>& ids, std::int64_t vocabulary_size,
                 std::string_view where) {
  if (vocabulary_size == 0) return ok_status();
  for (const std::int32_t id : ids) {
    if (id >= 0 && id < vocabulary_size) continue;
    return make_error(ErrorCode::invalid_data,
                      "{}: token id {} does not fit the model's vocabulary of {}; the tokenizer "
                      "belongs to another model; for new tokens set "
                      "model.resize_vocabulary",
                      where, id, vocabulary_size);
  }
  return ok_status();
}

}  // namespace collie
