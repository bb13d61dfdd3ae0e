// How the prompts of one round of Mode::generate are divided over a grid, and what their keys and
// values may take. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "actors/messages.hpp"
#include "actors/protocol/trainer_core.hpp"
#include "models/batch.hpp"
#include "models/generator.hpp"
#include "runtime/allocator.hpp"

namespace collie {

struct GenerationInputs {
  int ranks = 1;                 // of the pipeline
  std::int64_t layers = 0;       // of the rank that holds most
  std::int64_t token_bytes = 0;  // keys and values of one token in one layer, on one shard
  std::int64_t longest = 0;      // of the prompts, virtual tokens included
  std::int64_t cache_bytes_max = limits::generation_cache_bytes_max;
};

// Keys and values of one token in one layer on one of tp shards.
std::int64_t cache_token_bytes(const ModelTraits& traits, int tp, DType dtype);

// As many groups as keep all ranks busy, of as many rows as the limit has room for. `prompts` is
// left to fill in. Errors: invalid_config for options out of range; out_of_memory, with sizes and
// what to lower, where not one sequence has room.
Result<GenerationSettings> plan_generation(const GenerationInputs& inputs,
                                           const ModelTraits& traits,
                                           const GenerationOptions& options,
                                           std::vector<std::int32_t> end_ids);

// The round that goes on with `prompts` of them; see prompt_batch().
RoundRequest generation_round(const GenerationSettings& settings, int dp, std::int64_t number);

// What the feeder of such a round gives; ids: of all prompts of the round, as they are fed.
MicroBatch prompt_batch(std::span<const std::vector<std::int32_t>> ids, int dp, int replica,
                        int micro_batch, Allocator& memory);

}  // namespace collie
