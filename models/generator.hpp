// Text from a model directory: the whole model on one stream, a key/value cache, one token at a
// time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/sampling.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "models/traits.hpp"
#include "runtime/dtype.hpp"

namespace collie {

class Parameters;
class Stream;
struct Tuning;

struct GeneratorOptions {
  int threads = 0;             // of the stream; 0: the machine's cores
  std::optional<DType> dtype;  // f32 or bf16; none: bf16 for weights in bf16, f32 otherwise
  // Room for an adapter beside the model of load(): it has no values until refill() gives some.
  std::shared_ptr<const Tuning> tuning = {};
};

struct GenerationOptions {
  std::int64_t max_tokens = 128;  // new ones
  SamplingOptions sampling;
  bool stop_at_end = true;  // at an end token of the model; false: goes on
};

struct GenerationResult {
  std::string text;               // of the new tokens, special ones left out
  std::vector<std::int32_t> ids;  // new ones, without the end token
  std::int64_t prompt_tokens = 0;
  FinishReason finish = FinishReason::max_tokens;
  double prefill_seconds = 0.0;  // up to the first token's logits
  double decode_seconds = 0.0;
};

class Generator {
 public:
  // A Hugging Face directory with config.json, weights and a tokenizer. Errors: those of reading
  // it.
  static Result<Generator> load(const std::string& model_directory, GeneratorOptions options = {});
  // The same of a model in memory. fill runs once on the generator's stream and sets the values of
  // all parameters.
  using Fill = std::function<Status(Parameters& parameters, Stream& stream)>;
  static Result<Generator> make(const ModelTraits& traits,
                                std::shared_ptr<const Tokenizer> tokenizer,
                                std::shared_ptr<const Tuning> tuning, GeneratorOptions options,
                                const Fill& fill);
  Generator(Generator&&) noexcept;
  Generator& operator=(Generator&&) noexcept;
  ~Generator();

  // Other values: fill runs once on the generator's stream.
  Status refill(const Fill& fill);

  // Gets each piece of text as it is made, whole UTF-8 characters; false stops the generation.
  using OnText = std::function<bool(std::string_view)>;

  // The same prompt, options and threads give the same text. Errors: invalid_data for a prompt that
  // is empty where the tokenizer has no begin token, or that leaves no room in the context;
  // invalid_config for sampling options out of range; non_finite for logits that are no numbers.
  // One thread at a time.
  Result<GenerationResult> generate(std::string_view prompt, const GenerationOptions& options = {},
                                    const OnText& on_text = {});

  // The same from ids, of which there are one or more.
  Result<GenerationResult> continue_ids(std::span<const std::int32_t> ids,
                                        const GenerationOptions& options = {},
                                        const OnText& on_text = {});

  const ModelTraits& traits() const;
  const Tokenizer& tokenizer() const;
  DType dtype() const;
  int threads() const;

 private:
  struct Impl;
  explicit Generator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace collie
