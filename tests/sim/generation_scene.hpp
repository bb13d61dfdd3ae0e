// Prompts for the tiny grids, gone on with by a grid's world and by one stream with a copy of its
// parameters.
#pragma once

#include "actors/checkpoint.hpp"
#include "actors/generation_plan.hpp"
#include "models/generation_prompt.hpp"
#include "models/generator.hpp"
#include "tests/sim/tiny_grid.hpp"

namespace collie::testing {

using Prompts = std::vector<std::vector<std::int32_t>>;

// Of 1 to 12 tokens, so that some meet the end of the context of 16.
inline Prompts some_prompts(std::size_t count) {
  Prompts prompts(count);
  std::uint64_t state = 99;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t t = 0; t < 1 + i * 5 % 12; ++t) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      prompts[i].push_back(static_cast<std::int32_t>((state >> 33) % 37));
    }
  }
  return prompts;
}

inline std::shared_ptr<const Tokenizer> tiny_tokenizer() {
  Json vocabulary = Json::object();
  for (int id = 0; id < 37; ++id) vocabulary[std::string(1, static_cast<char>('A' + id))] = id;
  const Json json = {
      {"version", "1.0"},
      {"added_tokens", Json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", nullptr},
      {"post_processor", nullptr},
      {"decoder", {{"type", "Fuse"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
  Result<Tokenizer> made = Tokenizer::from_json(dump_json(json), "tiny");
  COLLIE_CHECK(made.ok(), "{}", made.error().message);
  return std::make_shared<const Tokenizer>(std::move(made).value());
}

struct Wanted {
  GenerationOptions options;
  std::vector<std::int32_t> end_ids = {};
  std::int64_t cache_bytes_max = limits::generation_cache_bytes_max;
};

inline Wanted greedy() {
  Wanted wanted;
  wanted.options.max_tokens = 7;
  return wanted;
}

// One stream, with a copy of the grid's parameters.
inline std::vector<GeneratedSequence> alone(const TinyGrid& grid, const Prompts& prompts,
                                            const Wanted& wanted) {
  ModelTraits traits = grid.traits();
  traits.hf_config["eos_token_id"] = wanted.end_ids;
  GeneratorOptions options;
  options.threads = 1;
  options.dtype = grid.run().dtype;
  auto made = Generator::make(traits, tiny_tokenizer(), grid.run().tuning, options,
                              [&](Parameters& parameters, Stream& stream) {
                                copy_parameters(grid.executors(), grid.grid(), parameters, stream);
                                return ok_status();
                              });
  COLLIE_CHECK(made.ok(), "{}", made.error().message);
  std::vector<GeneratedSequence> all;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    auto result = made->continue_ids(prompts[i], wanted.options);
    COLLIE_CHECK(result.ok(), "{}", result.error().message);
    all.push_back({static_cast<int>(i), std::move(result->ids), result->finish});
  }
  return all;
}

// The grid's world with a feeder that knows prompts.
class Scene {
 public:
  explicit Scene(const TinyRun& run) : grid_(run) {}

  WorldOptions options() {
    WorldOptions made = grid_.options();
    made.batches = [this, batches = made.batches](Mode mode, std::int64_t step, int replica,
                                                  int micro_batch) {
      if (mode != Mode::generate) return batches(mode, step, replica, micro_batch);
      return prompt_batch(fed_, grid_.grid().dp, replica, micro_batch, memory_);
    };
    return made;
  }

  Result<std::vector<GeneratedSequence>> generate(World& world, const Prompts& prompts,
                                                  const Wanted& wanted, int rows) {
    const TinyRun& run = grid_.run();
    const std::int64_t before = run.tuning ? run.tuning->tokens_before() : 0;
    fed_.clear();
    for (const auto& prompt : prompts) fed_.push_back(collie::with_virtual_tokens(before, prompt));
    GenerationInputs inputs;
    inputs.ranks = grid_.schedule().ranks();
    inputs.layers = run.layers;
    inputs.token_bytes = cache_token_bytes(grid_.traits(), grid_.grid().tp, run.dtype);
    inputs.longest = 12 + before;
    inputs.cache_bytes_max = wanted.cache_bytes_max;
    COLLIE_TRY(GenerationSettings settings,
               plan_generation(inputs, grid_.traits(), wanted.options, wanted.end_ids));
    settings.rows = std::min(rows, settings.rows);
    settings.prompts = static_cast<int>(prompts.size());
    COLLIE_TRY(RoundOutcome outcome, world.round(generation_round(settings, grid_.grid().dp, 0)));
    return std::move(outcome.generated);
  }

  TinyGrid& grid() { return grid_; }

 private:
  TinyGrid grid_;
  Prompts fed_;
  Allocator memory_{"prompts"};
};

}  // namespace collie::testing
