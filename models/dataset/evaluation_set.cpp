#include "models/dataset/evaluation_set.hpp"

#include <algorithm>
#include <optional>

#include "models/dataset/encoding.hpp"
#include "models/dataset/generation_prompt.hpp"
#include "models/dataset/reader.hpp"
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

template <class... Args>
Error bad_sample(std::string_view where, fmt::format_string<Args...> format, Args&&... args) {
  return make_error(ErrorCode::invalid_data, "{}: {}", where,
                    fmt::format(format, std::forward<Args>(args)...));
}

Result<std::string> string_of(element value, std::string_view key, std::string_view where) {
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) return std::string(text);
  return bad_sample(where, "field \"{}\" must be a string", key);
}

Result<std::vector<std::string>> strings_of(element value, std::string_view key,
                                            std::string_view where) {
  std::vector<std::string> texts;
  simdjson::dom::array list;
  const Error wrong = bad_sample(where, "field \"{}\" must be a list of strings", key);
  if (value.get(list) != simdjson::SUCCESS) return wrong;
  for (const element item : list) {
    if (texts.size() == limits::evaluation_options_max) {
      return bad_sample(where, "more than {} entries in field \"{}\"",
                        limits::evaluation_options_max, key);
    }
    std::string_view text;
    if (item.get(text) != simdjson::SUCCESS) return wrong;
    texts.emplace_back(text);
  }
  return texts;
}

// What both kinds of sets do with text.
class SampleEncoder {
 public:
  SampleEncoder(const TextEncoder& encoder, const EvaluationSetOptions& options)
      : encoder_(encoder), options_(options) {}

  Result<std::vector<std::int32_t>> encode(std::string_view text, std::string_view where) const {
    std::vector<std::int32_t> ids = encoder_.encode(text);
    COLLIE_TRY_VOID(check_ids(ids, options_.vocabulary_size, where));
    return ids;
  }

  // Each span by itself, as in training.
  Result<std::vector<std::int32_t>> encode(const std::vector<TextSpan>& spans,
                                           std::string_view where) const {
    std::vector<std::int32_t> all;
    for (const TextSpan& span : spans) {
      COLLIE_TRY(const std::vector<std::int32_t> ids, encode(span.text, where));
      all.insert(all.end(), ids.begin(), ids.end());
      const auto end = encoder_.end_id();
      if (span.end_of_text && end) all.push_back(*end);
    }
    return all;
  }

  // The begin token (begins: the ids have none yet), then the last of the ids that leave room for
  // `behind` tokens.
  Result<std::vector<std::int32_t>> context(const std::vector<std::int32_t>& ids,
                                            std::int64_t behind, bool begins,
                                            std::string_view where, std::int64_t& truncated) const {
    std::vector<std::int32_t> context;
    if (const auto begin = encoder_.begin_id(); begin && begins) {
      context.push_back(*begin);
    } else if (ids.empty() && encoder_.end_id()) {
      context.push_back(*encoder_.end_id());
    }
    if (context.empty() && ids.empty()) {
      return bad_sample(where,
                        "no text, and the tokenizer has no begin or end token to start from");
    }
    std::size_t dropped = 0;
    if (options_.max_length > 0) {
      const std::int64_t room = options_.max_length - behind;
      const auto wanted = static_cast<std::int64_t>(context.size() + ids.size());
      if (room < 1) {
        return bad_sample(where, "{} tokens after the context leave no room for it in {} positions",
                          behind, options_.max_length);
      }
      dropped = static_cast<std::size_t>(std::max<std::int64_t>(wanted - room, 0));
    }
    if (dropped > 0) ++truncated;
    dropped = std::min(dropped, ids.size());
    context.insert(context.end(), ids.begin() + static_cast<std::ptrdiff_t>(dropped), ids.end());
    return context;
  }

  const TextEncoder& encoder() const { return encoder_; }
  const EvaluationSetOptions& options() const { return options_; }

 private:
  const TextEncoder& encoder_;
  const EvaluationSetOptions& options_;
};

// ---- classification

Status check_options(const std::vector<std::string>& texts, std::string_view key,
                     std::string_view where) {
  if (texts.size() < 2) {
    return bad_sample(where, "field \"{}\" needs two or more options, got {}", key, texts.size());
  }
  std::vector<std::string> sorted = texts;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    return bad_sample(where, "two options in field \"{}\" are equal", key);
  }
  return ok_status();
}

Result<std::size_t> gold_of(const object& fields, std::string_view key, std::size_t option_count,
                            std::string_view where) {
  const std::optional<element> value = find(fields, key);
  std::int64_t index = -1;
  if (value && value->get(index) == simdjson::SUCCESS && index >= 0 &&
      static_cast<std::size_t>(index) < option_count) {
    return static_cast<std::size_t>(index);
  }
  return bad_sample(where, "field \"{}\" must be the index of an option, 0 to {}", key,
                    option_count - 1);
}

// Fills in the options' ids and returns the length of the longest.
Result<std::int64_t> encode_options(const SampleEncoder& encoder, ClassificationSample& sample,
                                    std::string_view where) {
  std::size_t longest = 0;
  for (const std::string& text : sample.texts) {
    COLLIE_TRY(std::vector<std::int32_t> ids, encoder.encode(text, where));
    if (ids.empty()) {
      return bad_sample(where, "option {} has no tokens, so no likelihood", sample.options.size());
    }
    const auto end = encoder.encoder().end_id();
    if (encoder.options().end_options && end) ids.push_back(*end);
    longest = std::max(longest, ids.size());
    sample.options.push_back(std::move(ids));
  }
  return static_cast<std::int64_t>(longest);
}

Result<ClassificationSample> classification_sample(element value, const DataSection& data,
                                                   const SampleEncoder& encoder,
                                                   std::string_view where,
                                                   std::int64_t& truncated) {
  object fields;
  if (value.get(fields) != simdjson::SUCCESS) {
    return bad_sample(where, "a record must be a JSON object");
  }
  const auto input = find(fields, data.input_key);
  const auto output = find(fields, data.output_key);
  if (!input || !output) {
    return bad_sample(where, "needs \"{}\", \"{}\" (a list of options) and \"{}\"", data.input_key,
                      data.output_key, encoder.options().target_key);
  }
  ClassificationSample sample;
  COLLIE_TRY(const std::string text, string_of(*input, data.input_key, where));
  COLLIE_TRY(sample.texts, strings_of(*output, data.output_key, where));
  COLLIE_TRY_VOID(check_options(sample.texts, data.output_key, where));
  COLLIE_TRY(sample.gold,
             gold_of(fields, encoder.options().target_key, sample.texts.size(), where));
  // The last token is predicted only, so it needs no position.
  std::int64_t behind = encoder.options().max_new_tokens;
  if (encoder.options().style == ClassificationStyle::harness) {
    COLLIE_TRY(const std::int64_t longest, encode_options(encoder, sample, where));
    behind = longest - 1;
  }
  COLLIE_TRY(const std::vector<std::int32_t> ids, encoder.encode(text, where));
  COLLIE_TRY(sample.context, encoder.context(ids, behind, true, where, truncated));
  return sample;
}

// ---- generation

Result<Prompt> read_prompt(element value, const DataSection& data, const SampleEncoder& encoder,
                           std::string_view where) {
  const EvaluationSetOptions& options = encoder.options();
  object fields;
  if (value.get(fields) != simdjson::SUCCESS) {
    return bad_sample(where, "a record must be a JSON object");
  }
  const auto target = find(fields, options.target_key);
  if (!target) return training_prompt(value, data, encoder.encoder(), where);
  const bool has_text = find(fields, data.text_key).has_value();
  const std::string& key = has_text ? data.text_key : data.input_key;
  const auto text = find(fields, key);
  if (!text) {
    return bad_sample(where, "needs \"{}\" or \"{}\" beside \"{}\"", data.text_key, data.input_key,
                      options.target_key);
  }
  Prompt prompt;
  COLLIE_TRY(std::string prompt_text, string_of(*text, key, where));
  prompt.spans.push_back({std::move(prompt_text), false, false});
  if (target->is_string()) {
    COLLIE_TRY(std::string reference, string_of(*target, options.target_key, where));
    prompt.references.push_back(std::move(reference));
    return prompt;
  }
  COLLIE_TRY(prompt.references, strings_of(*target, options.target_key, where));
  if (prompt.references.empty()) {
    return bad_sample(where, "field \"{}\" is an empty list", options.target_key);
  }
  return prompt;
}

// Reads every record with read(element, where), which adds a sample to the list.
template <class Sample, class Read>
Status read_samples(const std::vector<std::string>& files, const DataSection& data,
                    const std::vector<Sample>& samples, Read read) {
  const auto visit = [&](element value, std::string_view where) -> Status {
    if (samples.size() == limits::evaluation_samples_max) {
      return bad_sample(where, "more than {} samples; set data.max_records",
                        limits::evaluation_samples_max);
    }
    return read(value, where);
  };
  COLLIE_TRY_VOID(read_json_records(files, data, visit));
  if (!samples.empty()) return ok_status();
  return make_error(ErrorCode::invalid_data, "{}: no sample to evaluate with",
                    files.empty() ? "the evaluation set" : files.front());
}

}  // namespace

Result<ClassificationSet> read_classification_set(const std::vector<std::string>& files,
                                                  const DataSection& data,
                                                  const TextEncoder& encoder,
                                                  const EvaluationSetOptions& options) {
  const SampleEncoder sample_encoder(encoder, options);
  ClassificationSet set;
  set.style = options.style;
  COLLIE_TRY_VOID(
      read_samples(files, data, set.samples, [&](element value, std::string_view where) -> Status {
        COLLIE_TRY(ClassificationSample sample,
                   classification_sample(value, data, sample_encoder, where, set.truncated));
        set.samples.push_back(std::move(sample));
        return ok_status();
      }));
  return set;
}

Result<GenerationSet> read_generation_set(const std::vector<std::string>& files,
                                          const DataSection& data, const TextEncoder& encoder,
                                          const EvaluationSetOptions& options) {
  const SampleEncoder sample_encoder(encoder, options);
  GenerationSet set;
  COLLIE_TRY_VOID(
      read_samples(files, data, set.samples, [&](element value, std::string_view where) -> Status {
        COLLIE_TRY(Prompt prompt, read_prompt(value, data, sample_encoder, where));
        COLLIE_TRY(const std::vector<std::int32_t> ids, sample_encoder.encode(prompt.spans, where));
        GenerationSample sample;
        sample.references = std::move(prompt.references);
        const std::int64_t behind = options.max_new_tokens;
        COLLIE_TRY(sample.prompt,
                   sample_encoder.context(ids, behind, !prompt.templated, where, set.truncated));
        set.samples.push_back(std::move(sample));
        return ok_status();
      }));
  return set;
}

}  // namespace collie
