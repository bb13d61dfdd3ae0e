// Data to evaluate a model with: questions with options, prompts with references. (Perplexity needs
// no set of its own: validation data is what it reads.)
//
// Files are JSON or JSON lines, the fields' names are data.input_key, data.output_key,
// data.text_key and target_key ("target"):
//
//   classification  {input, output: [option, ...], target: index of the right option, from 0}
//   generation      {text or input, target?: string or list of strings}; or {input, output},
//                   {instruction, input?, output} and {messages} as for training: what comes before
//                   the last answer is the prompt, that answer the reference
//
// Begin and end tokens: a context or prompt starts with the tokenizer's begin token where its
// post-processor puts one, and never ends with an end token. Input and option are encoded each by
// itself and joined, so no token reaches over the seam and an option has the same ids after every
// input; an option has no begin token, and no end token unless end_options asks for it. An empty
// context of a tokenizer without begin token is its end token alone, because the first token of an
// option needs one to be predicted from. Options are taken as they stand: a space that belongs
// between input and option must be in one of the two.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/dataset/text_encoder.hpp"
#include "runtime/config.hpp"
#include "runtime/result.hpp"

namespace collie {

// harness: the likelihood of each option after the context decides. helm: the model writes on from
// the context and what it writes is compared with the options' texts.
enum class ClassificationStyle { harness, helm };

struct EvaluationSetOptions {
  ClassificationStyle style = ClassificationStyle::harness;
  std::int64_t max_length = 0;       // most positions of the model, 0: not checked
  std::int64_t max_new_tokens = 0;   // kept free behind what is generated from
  std::int64_t vocabulary_size = 0;  // ids must be below, 0: not checked
  bool end_options = false;          // an end token after each option
  std::string target_key = "target";
};

struct ClassificationSample {
  std::vector<std::int32_t> context;               // at least one id
  std::vector<std::vector<std::int32_t>> options;  // harness: at least one id each; helm: none
  std::vector<std::string> texts;                  // of the options, two or more
  std::size_t gold = 0;                            // the right one
};

struct ClassificationSet {
  ClassificationStyle style = ClassificationStyle::harness;
  std::vector<ClassificationSample> samples;
  std::int64_t truncated = 0;  // contexts that lost their beginning
};

struct GenerationSample {
  std::vector<std::int32_t> prompt;     // at least one id
  std::vector<std::string> references;  // none where the record has no target
};

struct GenerationSet {
  std::vector<GenerationSample> samples;
  std::int64_t truncated = 0;  // prompts that lost their beginning
};

// What is too long for max_length loses the beginning of its context, not the begin token: of a
// classification sample as much as its longest option needs, so that all options follow the same
// context. Samples keep the order of the files; data.max_records bounds them. Errors, one line that
// names file and place: those of reading; invalid_data for a record of another shape, fewer than
// two options, equal options, an option without tokens (harness), a target that is no option, an
// option or max_new_tokens that leave no room for a context, ids beyond the vocabulary, more than
// limits::evaluation_samples_max samples, and for a set without samples.
Result<ClassificationSet> read_classification_set(const std::vector<std::string>& files,
                                                  const DataSection& data,
                                                  const TextEncoder& encoder,
                                                  const EvaluationSetOptions& options);
Result<GenerationSet> read_generation_set(const std::vector<std::string>& files,
                                          const DataSection& data, const TextEncoder& encoder,
                                          const EvaluationSetOptions& options);

}  // namespace collie
