#include "models/generator.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <utility>

#include "models/generation_prompt.hpp"
#include "models/hf_model.hpp"
#include "models/host_copy.hpp"
#include "models/peft/tuning.hpp"
#include "models/registry.hpp"
#include "models/stage.hpp"
#include "runtime/elapsed.hpp"
#include "runtime/file.hpp"
#include "runtime/thread_pool.hpp"

namespace collie {

namespace {

using Clock = std::chrono::steady_clock;

int choose_threads(int wanted) {
  if (wanted > 0) return std::min(wanted, limits::threads_per_stream_max);
  const int cores = usable_core_count();
  return std::clamp(cores, 1, limits::threads_per_stream_max);
}

StreamOptions stream_options(const GeneratorOptions& options) {
  StreamOptions stream;
  stream.name = "generate";
  stream.threads = choose_threads(options.threads);
  return stream;
}

DType choose_dtype(const GeneratorOptions& options, const TensorDirectory& weights) {
  if (options.dtype) return *options.dtype;
  for (const SafetensorsFile& file : weights.files()) {
    for (const TensorEntry& entry : file.entries()) {
      if (entry.dtype != DType::bf16) return DType::f32;
    }
  }
  return DType::bf16;
}

Result<std::vector<std::int32_t>> read_end_ids(const std::string& directory,
                                               const ModelTraits& traits,
                                               const Tokenizer& tokenizer) {
  std::vector<std::int32_t> ids = end_ids_of(traits, tokenizer);
  const std::string path = join_path(directory, "generation_config.json");
  if (exists(path)) {
    COLLIE_TRY(const Json generation, read_json(path, limits::config_bytes_max));
    if (generation.is_object()) add_end_ids(generation, ids);
  }
  return ids;
}

}  // namespace

struct Generator::Impl {
  Impl(ModelTraits model_traits, std::shared_ptr<const Tokenizer> model_tokenizer,
       const GeneratorOptions& options, DType compute_dtype)
      : traits(std::move(model_traits)),
        owned_tokenizer(std::move(model_tokenizer)),
        tokenizer(*owned_tokenizer),
        dtype(compute_dtype),
        stream(stream_options(options)) {}

  // Runs work on the stream and waits for it.
  Status perform(std::function<void()> work) {
    stream.submit(std::move(work));
    stream.synchronize();
    return stream.status();
  }

  Status load(std::shared_ptr<const Tuning> tuning, const Fill& fill);
  // Takes the next tokens in; logits_v are those after the last of them.
  Status feed(std::span<const std::int32_t> ids, std::vector<LayerCache>& caches,
              std::vector<float>& logits_v);
  Status decode(const GenerationOptions& options, const OnText& on_text,
                std::vector<LayerCache>& caches, std::vector<float>& logits_v,
                GenerationResult& result);
  bool is_end(std::int32_t id) const {
    return std::find(end_ids.begin(), end_ids.end(), id) != end_ids.end();
  }

  ModelTraits traits;
  std::shared_ptr<const Tokenizer> owned_tokenizer;
  const Tokenizer& tokenizer;
  DType dtype;
  Stream stream;
  std::unique_ptr<StageModel> model;  // destroyed before its stream
  std::vector<std::int32_t> end_ids;
  std::int64_t virtual_tokens = 0;  // that the tuning puts before the prompt
};

Status Generator::Impl::load(std::shared_ptr<const Tuning> tuning, const Fill& fill) {
  StageSlice whole;
  whole.layer_end = traits.layer_count;
  StageOptions options;
  options.compute_dtype = dtype;
  options.with_gradients = false;
  options.master_weights = dtype == DType::f32;  // nothing is trained here
  virtual_tokens = tuning ? tuning->tokens_before() : 0;
  options.tuning = std::move(tuning);
  COLLIE_TRY(model, StageModel::create(traits, whole, options, stream));
  Status loaded = ok_status();
  COLLIE_TRY_VOID(perform([&] { loaded = fill(model->parameters(), stream); }));
  return loaded;
}

Status Generator::Impl::feed(std::span<const std::int32_t> ids, std::vector<LayerCache>& caches,
                             std::vector<float>& logits_v) {
  const auto count = static_cast<std::int64_t>(ids.size());
  std::vector<std::int32_t> positions(ids.size());
  std::iota(positions.begin(), positions.end(), static_cast<std::int32_t>(caches.front().length));
  const std::vector<std::int32_t> labels(ids.size(), ignored_label);
  return perform([&] {
    MicroBatchState state;
    state.mode = Mode::generate;
    state.caches = &caches;
    state.batch.rows = 1;
    state.batch.sequence = count;
    const auto make = [&](const std::vector<std::int32_t>& values) {
      Tensor tensor = stream.allocate(DType::i32, {count});
      copy_from_host(stream, values.data(), tensor);
      return tensor;
    };
    state.batch.ids_t = make({ids.begin(), ids.end()});
    state.batch.positions_t = make(positions);
    state.batch.labels_t = make(labels);
    Steps steps = model->forward(state);
    run_alone(steps);
    copy_to_host(stream, state.logits_tv, logits_v.data());
  });
}

Status Generator::Impl::decode(const GenerationOptions& options, const OnText& on_text,
                               std::vector<LayerCache>& caches, std::vector<float>& logits_v,
                               GenerationResult& result) {
  TokenStream pieces(tokenizer, true);
  const auto give = [&](const std::string& piece) {
    result.text += piece;
    return piece.empty() || !on_text || on_text(piece);
  };
  std::int64_t position = virtual_tokens + result.prompt_tokens;
  while (true) {
    COLLIE_TRY(const std::int32_t id, sample_token(logits_v, options.sampling, position));
    if (options.stop_at_end && is_end(id)) {
      result.finish = FinishReason::end_token;
      break;
    }
    result.ids.push_back(id);
    ++position;
    if (!give(pieces.push(id))) {
      result.finish = FinishReason::cancelled;
      break;
    }
    if (static_cast<std::int64_t>(result.ids.size()) >= options.max_tokens) break;
    if (position >= traits.context_length) {
      result.finish = FinishReason::context_full;
      break;
    }
    COLLIE_TRY_VOID(feed({&id, 1}, caches, logits_v));
  }
  give(pieces.flush());
  return ok_status();
}

Generator::Generator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Generator::Generator(Generator&&) noexcept = default;
Generator& Generator::operator=(Generator&&) noexcept = default;
Generator::~Generator() = default;

Result<Generator> Generator::load(const std::string& model_directory, GeneratorOptions options) {
  COLLIE_TRY(ModelTraits traits, read_model_config(model_directory));
  COLLIE_TRY(Tokenizer tokenizer, Tokenizer::load(model_directory));
  COLLIE_TRY(const TensorDirectory weights, TensorDirectory::open(model_directory));
  COLLIE_TRY_VOID(check_tensors(weights, traits));
  const DType dtype = choose_dtype(options, weights);
  if (dtype != DType::f32 && dtype != DType::bf16) {
    return make_error(ErrorCode::unsupported, "dtype {}: generation computes in F32 or BF16",
                      to_string(dtype));
  }
  auto impl = std::make_unique<Impl>(
      std::move(traits), std::make_shared<const Tokenizer>(std::move(tokenizer)), options, dtype);
  COLLIE_TRY_VOID(impl->load(options.tuning, [&](Parameters& parameters, Stream& stream) {
    return load_parameters(weights, impl->traits, parameters, stream);
  }));
  COLLIE_TRY(impl->end_ids, read_end_ids(model_directory, impl->traits, impl->tokenizer));
  return Generator(std::move(impl));
}

Result<Generator> Generator::make(const ModelTraits& traits,
                                  std::shared_ptr<const Tokenizer> tokenizer,
                                  std::shared_ptr<const Tuning> tuning, GeneratorOptions options,
                                  const Fill& fill) {
  auto impl = std::make_unique<Impl>(traits, std::move(tokenizer), options,
                                     options.dtype.value_or(DType::f32));
  COLLIE_TRY_VOID(impl->load(std::move(tuning), fill));
  impl->end_ids = end_ids_of(traits, impl->tokenizer);
  return Generator(std::move(impl));
}

Status Generator::refill(const Fill& fill) {
  Status filled = ok_status();
  Impl& impl = *impl_;
  COLLIE_TRY_VOID(impl.perform([&] { filled = fill(impl.model->parameters(), impl.stream); }));
  return filled;
}

Result<GenerationResult> Generator::generate(std::string_view prompt,
                                             const GenerationOptions& options,
                                             const OnText& on_text) {
  COLLIE_TRY(const std::vector<std::int32_t> ids, encode_prompt(impl_->tokenizer, prompt));
  return continue_ids(ids, options, on_text);
}

Result<GenerationResult> Generator::continue_ids(std::span<const std::int32_t> ids,
                                                 const GenerationOptions& options,
                                                 const OnText& on_text) {
  COLLIE_TRY_VOID(check_sampling(options.sampling));
  if (options.max_tokens < 1) {
    return make_error(ErrorCode::invalid_config, "max_tokens must be 1 or more, got {}",
                      options.max_tokens);
  }
  COLLIE_TRY_VOID(check_prompt(impl_->traits, impl_->virtual_tokens, ids));
  GenerationResult result;
  result.prompt_tokens = static_cast<std::int64_t>(ids.size());
  const std::vector<std::int32_t> fed = with_virtual_tokens(impl_->virtual_tokens, ids);
  const auto fed_tokens = static_cast<std::int64_t>(fed.size());
  const std::int64_t room = impl_->traits.context_length - fed_tokens;
  std::vector<LayerCache> caches =
      impl_->model->make_caches(fed_tokens + std::min(room, options.max_tokens));
  std::vector<float> logits_v(static_cast<std::size_t>(impl_->traits.vocabulary_size));

  const auto begin = Clock::now();
  COLLIE_TRY_VOID(impl_->feed(fed, caches, logits_v));
  result.prefill_seconds = seconds_since(begin);
  const auto prefilled = Clock::now();
  COLLIE_TRY_VOID(impl_->decode(options, on_text, caches, logits_v, result));
  result.decode_seconds = seconds_since(prefilled);
  return result;
}

const ModelTraits& Generator::traits() const {
  return impl_->traits;
}
const Tokenizer& Generator::tokenizer() const {
  return impl_->tokenizer;
}
DType Generator::dtype() const {
  return impl_->dtype;
}
int Generator::threads() const {
  return impl_->stream.threads();
}

}  // namespace collie
