#include "actors/run_setup.hpp"

#include <algorithm>
#include <thread>

#include "models/lr_schedule.hpp"
#include "models/partition.hpp"
#include "models/registry.hpp"
#include "runtime/file.hpp"

namespace collie {

namespace {

Result<ModelTraits> read_traits(const RunConfig& config) {
  if (config.model.is_fresh()) return parse_model_config(config.model.fresh, "model.fresh");
  return read_model_config(config.model.path);
}

Result<Recompute> parse_recompute(const std::string& name) {
  if (name == "none") return Recompute::none;
  if (name == "attention") return Recompute::attention;
  if (name == "full") return Recompute::full;
  return make_error(ErrorCode::invalid_config,
                    "train.recompute: \"{}\" is none of none, attention, full", name);
}

int cores() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

Result<std::string> training_text(const DataSection& data) {
  std::string text;
  for (const std::string& path : data.train) {
    COLLIE_TRY(const std::string part, read_file(path, limits::json_bytes_max));
    text += part;
  }
  return text;
}

Result<Tokenizer> make_tokenizer(const RunConfig& config) {
  if (config.model.tokenizer_vocab_size > 0) {
    COLLIE_TRY(const std::string text, training_text(config.data));
    TokenizerTraining training;
    training.vocabulary_size = static_cast<int>(config.model.tokenizer_vocab_size);
    return Tokenizer::train_byte_level_bpe(text, training);
  }
  return Tokenizer::load(config.model.tokenizer.empty() ? config.model.path
                                                        : config.model.tokenizer);
}

}  // namespace

Result<ModelSetup> set_up_model(const RunConfig& config) {
  ModelSetup setup;
  setup.grid = {config.grid.dp, config.grid.tp, config.grid.pp};
  COLLIE_TRY_VOID(check_grid(setup.grid));
  COLLIE_TRY(setup.traits, read_traits(config));
  if (config.data.sequence_length > setup.traits.context_length) {
    return make_error(ErrorCode::invalid_config,
                      "data.sequence_length: {} is more than the {} positions the model allows",
                      config.data.sequence_length, setup.traits.context_length);
  }
  COLLIE_TRY(setup.stages,
             partition_model(setup.traits, setup.grid.pp, config.data.sequence_length));
  COLLIE_TRY(setup.recompute, parse_recompute(config.train.recompute));
  COLLIE_TRY(setup.schedule, make_schedule(config.grid.schedule, setup.grid.pp,
                                           static_cast<int>(config.train.accumulation)));
  COLLIE_TRY_VOID(check_schedule(setup.schedule, limits::link_credit_default));
  for (int tensor = 0; tensor < setup.grid.tp; ++tensor) {
    COLLIE_TRY_VOID(declare_parameters(setup.traits, slice_of(setup, {0, 0, tensor})));
  }
  setup.threads = config.grid.threads > 0 ? config.grid.threads
                                          : std::max(1, cores() / setup.grid.shard_count());
  setup.scheduler_threads = config.grid.scheduler_threads > 0 ? config.grid.scheduler_threads : 1;
  return setup;
}

StageSlice slice_of(const ModelSetup& model, const ShardId& shard) {
  StageSlice slice = model.stages[static_cast<std::size_t>(shard.stage)];
  slice.tp_rank = shard.tensor;
  slice.tp_size = model.grid.tp;
  return slice;
}

Result<RunSetup> set_up_run(const RunConfig& config) {
  RunSetup setup;
  setup.config = config;
  COLLIE_TRY(setup.model, set_up_model(config));
  COLLIE_TRY(Tokenizer tokenizer, make_tokenizer(config));
  setup.tokenizer = std::make_shared<const Tokenizer>(std::move(tokenizer));
  const auto encoder = make_text_encoder(*setup.tokenizer);
  const DatasetOptions options{config.train.seed, setup.model.traits.context_length,
                               setup.model.traits.vocabulary_size};
  COLLIE_TRY(DataSplits data, open_training_data(config.data, *encoder, options));
  setup.data = std::make_shared<const DataSplits>(std::move(data));
  setup.layout = batch_layout(config);
  setup.total_steps =
      total_steps(config.train, setup.data->train.row_count(), setup.layout.global_rows());
  return setup;
}

}  // namespace collie
