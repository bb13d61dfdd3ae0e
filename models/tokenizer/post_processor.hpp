// The "post_processor" of tokenizer.json, as far as it concerns ids of a single text: what
// TemplateProcessing puts before and after it. ByteLevel changes offsets only; Sequence nests.
#pragma once

#include <cstdint>
#include <vector>

#include "models/tokenizer/json_node.hpp"
#include "runtime/result.hpp"

namespace collie::tok {

class PostProcessor {
 public:
  // Special tokens must have ids in [0, id_end).
  static Result<PostProcessor> parse(const JsonNode& node, std::int32_t id_end);

  const std::vector<std::int32_t>& prefix() const { return prefix_; }
  const std::vector<std::int32_t>& suffix() const { return suffix_; }

 private:
  Status add(const JsonNode& node, std::int32_t id_end, int depth);
  Status add_template(const JsonNode& node, std::int32_t id_end);
  static Result<std::vector<std::int32_t>> special_ids(const JsonNode& node, std::string_view name,
                                                       std::int32_t id_end);

  std::vector<std::int32_t> prefix_;
  std::vector<std::int32_t> suffix_;
};

}  // namespace collie::tok
