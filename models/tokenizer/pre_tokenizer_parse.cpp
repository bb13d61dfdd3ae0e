#include "models/tokenizer/normalizer.hpp"
#include "models/tokenizer/pre_tokenizer.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/limits.hpp"

namespace collie::tok {
namespace {

// openai/gpt-2, encoder.py: what ByteLevel cuts with when use_regex is set.
constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace

Result<PreTokenizer> PreTokenizer::parse(const JsonNode& node) {
  PreTokenizer result;
  COLLIE_TRY_VOID(result.add(node));
  if (!result.steps_.empty()) {
    Step& last = result.steps_.back();
    last.last = true;
    result.byte_level_ = last.kind == Kind::byte_level;
  }
  return result;
}

Status PreTokenizer::add(const JsonNode& node) {
  COLLIE_TRY(const std::string_view type, node.string_at("type"));
  if (type == "Sequence") {
    COLLIE_TRY(const JsonNode children, node.at("pretokenizers"));
    COLLIE_TRY(const std::vector<JsonNode> nodes, children.array());
    for (const JsonNode& child : nodes) COLLIE_TRY_VOID(add(child));
    return ok_status();
  }
  if (steps_.size() >= limits::tokenizer_steps_max) {
    return node.error(ErrorCode::unsupported, "more than {} pre-tokenizers",
                      limits::tokenizer_steps_max);
  }
  Step step{};
  if (type == "ByteLevel") {
    COLLIE_TRY(step, parse_byte_level(node));
  } else if (type == "Split") {
    COLLIE_TRY(step, parse_split(node));
  } else if (type == "Digits") {
    step.kind = Kind::split;
    COLLIE_TRY(step.pattern, Pattern::regex(R"(\p{N})"));
    COLLIE_TRY(const bool individual, node.boolean_or("individual_digits", false));
    step.behavior = individual ? Behavior::isolated : Behavior::contiguous;
  } else if (type == "Metaspace") {
    COLLIE_TRY(step, parse_metaspace(node));
  } else {
    return node.error(ErrorCode::unsupported, "unsupported pre-tokenizer type {}", excerpt(type));
  }
  steps_.push_back(std::move(step));
  return ok_status();
}

Result<PreTokenizer::Step> PreTokenizer::parse_byte_level(const JsonNode& node) {
  Step step{};
  step.kind = Kind::byte_level;
  COLLIE_TRY(step.add_prefix_space, node.boolean_or("add_prefix_space", true));
  COLLIE_TRY(step.cuts, node.boolean_or("use_regex", true));
  if (step.cuts) {
    COLLIE_TRY(step.pattern, Pattern::regex(gpt2_pattern));
  }
  return step;
}

Result<PreTokenizer::Step> PreTokenizer::parse_split(const JsonNode& node) {
  Step step{};
  step.kind = Kind::split;
  COLLIE_TRY(const JsonNode pattern, node.at("pattern"));
  COLLIE_TRY(step.pattern, parse_pattern(pattern));
  COLLIE_TRY(step.invert, node.boolean_or("invert", false));
  COLLIE_TRY(const JsonNode behavior, node.at("behavior"));
  COLLIE_TRY(step.behavior, parse_behavior(behavior));
  return step;
}

Result<PreTokenizer::Behavior> PreTokenizer::parse_behavior(const JsonNode& node) {
  COLLIE_TRY(const std::string_view name, node.string());
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  return node.error(ErrorCode::unsupported, "unsupported behavior {}", excerpt(name));
}

Result<PreTokenizer::Step> PreTokenizer::parse_metaspace(const JsonNode& node) {
  Step step{};
  step.kind = Kind::metaspace;
  COLLIE_TRY(const std::string_view replacement, node.string_at("replacement"));
  if (replacement.empty() || code_point_at(replacement, 0).bytes != replacement.size()) {
    return node.error(ErrorCode::invalid_file, "replacement must be one character");
  }
  step.replacement = replacement;
  COLLIE_TRY(step.cuts, node.boolean_or("split", true));
  // Files from before prepend_scheme only say add_prefix_space.
  COLLIE_TRY(const bool add_prefix_space, node.boolean_or("add_prefix_space", true));
  COLLIE_TRY(const std::string_view scheme,
             node.string_or("prepend_scheme", add_prefix_space ? "always" : "never"));
  if (scheme == "always") {
    step.prepend = Prepend::always;
  } else if (scheme == "first") {
    step.prepend = Prepend::first;
  } else if (scheme == "never") {
    step.prepend = Prepend::never;
  } else {
    return node.error(ErrorCode::unsupported, "unsupported prepend_scheme {}", excerpt(scheme));
  }
  return step;
}

}  // namespace collie::tok
