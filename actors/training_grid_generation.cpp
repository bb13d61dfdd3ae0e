// Generation on the grid of a run.
#include <algorithm>

#include "actors/hosting.hpp"
#include "actors/training_grid.hpp"
#include "models/generation_prompt.hpp"

namespace collie {

namespace {

// Of the rank that holds most.
std::int64_t layers_of_rank(const ModelSetup& model) {
  const std::vector<std::size_t> hosts = hosts_of_shards(model.grid, model.schedule);
  std::vector<std::int64_t> layers(hosts.size(), 0);
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    const StageSlice slice = slice_of(model, shard_at(model.grid, static_cast<int>(i)));
    layers[hosts[i]] += slice.layer_end - slice.layer_begin;
  }
  return *std::ranges::max_element(layers);
}

}  // namespace

Result<GenerationSettings> TrainingGrid::plan_generation(std::int64_t longest,
                                                         const GenerationOptions& options) const {
  const ModelSetup& model = setup_.model;
  GenerationInputs inputs;
  inputs.ranks = model.schedule.ranks();
  inputs.layers = layers_of_rank(model);
  inputs.token_bytes = cache_token_bytes(model.traits, model.grid.tp, setup_.config.model.dtype);
  inputs.longest = longest;
  return collie::plan_generation(inputs, model.traits, options,
                                 end_ids_of(model.traits, *setup_.tokenizer));
}

Result<std::vector<GeneratedSequence>> TrainingGrid::generate(
    std::int64_t number, const GenerationSettings& settings,
    std::span<const std::vector<std::int32_t>> prompts) {
  const int dp = setup_.model.grid.dp;
  COLLIE_CHECK(static_cast<std::size_t>(settings.prompts) == prompts.size(),
               "{} prompts given for {}", prompts.size(), settings.prompts);
  evaluation_batches_ = [=](int replica, int micro_batch, Allocator& memory) {
    return prompt_batch(prompts, dp, replica, micro_batch, memory);
  };
  COLLIE_TRY(RoundOutcome outcome, world_->round(generation_round(settings, dp, number)));
  return std::move(outcome.generated);
}

}  // namespace collie
