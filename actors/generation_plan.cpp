#include "actors/generation_plan.hpp"

#include <algorithm>
#include <numeric>

#include "runtime/dtype.hpp"

namespace collie {

namespace {

Status check_options(const GenerationOptions& options) {
  COLLIE_TRY_VOID(check_sampling(options.sampling));
  if (options.max_tokens >= 1 && options.max_tokens <= limits::new_tokens_max) return ok_status();
  return make_error(ErrorCode::invalid_config, "max_tokens must be 1 to {}, got {}",
                    limits::new_tokens_max, options.max_tokens);
}

}  // namespace

std::int64_t cache_token_bytes(const ModelTraits& traits, int tp, DType dtype) {
  const std::int64_t kv_heads = std::max<std::int64_t>(traits.kv_head_count / tp, 1);
  return 2 * kv_heads * traits.head_dim * static_cast<std::int64_t>(size_of(dtype));
}

Result<GenerationSettings> plan_generation(const GenerationInputs& inputs,
                                           const ModelTraits& traits,
                                           const GenerationOptions& options,
                                           std::vector<std::int32_t> end_ids) {
  COLLIE_TRY_VOID(check_options(options));
  const std::int64_t capacity =
      std::min(inputs.longest + options.max_tokens, traits.context_length);
  const std::int64_t sequence_bytes =
      std::max<std::int64_t>(1, inputs.layers * inputs.token_bytes * capacity);
  const std::int64_t room = inputs.cache_bytes_max / sequence_bytes;
  if (room < 1) {
    return make_error(ErrorCode::out_of_memory,
                      "keys and values of one sequence of {} tokens take {} bytes on a shard, at "
                      "most {} may be used: lower the number of new tokens, shorten the prompts or "
                      "divide the model over more shards",
                      capacity, sequence_bytes, inputs.cache_bytes_max);
  }
  GenerationSettings settings;
  settings.groups = static_cast<int>(std::min<std::int64_t>(room, inputs.ranks));
  settings.rows =
      static_cast<int>(std::min<std::int64_t>(room / settings.groups, limits::generation_rows_max));
  settings.max_tokens = options.max_tokens;
  settings.context_length = traits.context_length;
  settings.sampling = options.sampling;
  if (options.stop_at_end) settings.end_ids = std::move(end_ids);
  return settings;
}

RoundRequest generation_round(const GenerationSettings& settings, int dp, std::int64_t number) {
  RoundRequest request;
  request.mode = Mode::generate;
  request.step = number;
  request.micro_batches = (settings.prompts + dp - 1) / dp;
  request.generation = settings;
  return request;
}

MicroBatch prompt_batch(std::span<const std::vector<std::int32_t>> ids, int dp, int replica,
                        int micro_batch, Allocator& memory) {
  MicroBatch batch;
  const auto index = static_cast<std::size_t>(micro_batch * dp + replica);
  if (index >= ids.size()) return batch;
  const std::vector<std::int32_t>& prompt = ids[index];
  batch.rows = 1;
  batch.sequence = static_cast<std::int64_t>(prompt.size());
  batch.ids_t = allocate_tensor(memory, DType::i32, {batch.sequence});
  batch.positions_t = allocate_tensor(memory, DType::i32, {batch.sequence});
  std::ranges::copy(prompt, batch.ids_t.mutable_data<std::int32_t>());
  auto* positions = batch.positions_t.mutable_data<std::int32_t>();
  std::iota(positions, positions + batch.sequence, 0);
  return batch;
}

}  // namespace collie
