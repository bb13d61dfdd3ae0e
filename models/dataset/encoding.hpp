// Record -> tokens with a label mask: what training reads and what shards hold.
#pragma once

#include <string_view>
#include <vector>

#include "models/dataset/record.hpp"
#include "models/dataset/text_encoder.hpp"

namespace collie {

// Tokens of one document of a TokenStore, from begin on.
struct Document {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t labels = 0;  // learned tokens, the first left out: it is never predicted
  bool divisible = true;    // plain text: may be cut into pieces, other shapes are truncated
  bool whole_file = false;  // a text file that is one document

  std::int64_t length() const { return end - begin; }
};

struct EncodedRecord {
  std::vector<std::int32_t> ids;
  std::vector<bool> learned;
  std::int64_t labels = 0;  // as in Document
  bool divisible = true;
};

// The spans' tokens between the encoder's begin and end tokens. Each span is encoded by itself, so
// no token reaches over from a prompt into an answer, and neither part brings a begin or an end of
// its own. Without text or without anything to learn, labels is 0: such a record is left out.
EncodedRecord encode_record(const Record& record, const TextEncoder& encoder);

// invalid_data where an id is outside of [0, vocabulary_size); 0: not checked.
Status check_ids(const std::vector<std::int32_t>& ids, std::int64_t vocabulary_size,
                 std::string_view where);

}  // namespace collie
