// The models, the synthetic tokens and the process figures of train_bench. The models are those of
// peer_models.py.
#pragma once

#include <cstdint>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "models/batch.hpp"
#include "models/registry.hpp"
#include "runtime/json.hpp"

namespace collie::bench {

struct BenchModel {
  ModelTraits traits;
  std::int64_t rows = 0;      // of a step
  std::int64_t sequence = 0;  // tokens of a row
  std::int64_t tokens() const { return rows * sequence; }
};

inline Json llama_config(std::int64_t vocabulary) {
  return Json{
      {"model_type", "llama"},     {"vocab_size", vocabulary},        {"hidden_size", 384},
      {"intermediate_size", 1024}, {"num_hidden_layers", 6},          {"num_attention_heads", 6},
      {"num_key_value_heads", 6},  {"max_position_embeddings", 1024}, {"rms_norm_eps", 1e-5},
      {"rope_theta", 10000.0},     {"tie_word_embeddings", true}};
}

inline Json gpt2_config() {
  return Json{{"model_type", "gpt2"}, {"vocab_size", 50257}, {"n_embd", 768},
              {"n_layer", 12},        {"n_head", 12},        {"n_positions", 1024}};
}

inline Result<BenchModel> bench_model(const std::string& name) {
  BenchModel model;
  Json config;
  if (name == "llama_23m") {
    config = llama_config(32000);
    model.rows = 4;
    model.sequence = 512;
  } else if (name == "llama_12m") {
    config = llama_config(4096);
    model.rows = 2;
    model.sequence = 64;
  } else if (name == "gpt2_124m") {
    config = gpt2_config();
    model.rows = 4;
    model.sequence = 256;
  } else {
    return make_error(ErrorCode::invalid_config,
                      "--model is llama_23m, llama_12m or gpt2_124m, not {}", name);
  }
  COLLIE_TRY(model.traits, parse_model_config(config, name));
  return model;
}

// Uniform tokens, the same in every step, as the peers have them; labels are already shifted.
inline MicroBatch random_batch(Allocator& memory, const BenchModel& model, std::int64_t rows,
                               std::uint32_t seed) {
  const std::int64_t tokens = rows * model.sequence;
  MicroBatch batch;
  batch.rows = rows;
  batch.sequence = model.sequence;
  batch.valid_tokens = tokens;
  batch.ids_t = allocate_tensor(memory, DType::i32, {tokens});
  batch.labels_t = allocate_tensor(memory, DType::i32, {tokens});
  batch.positions_t = allocate_tensor(memory, DType::i32, {tokens});
  std::mt19937 generator(seed);
  std::uniform_int_distribution<std::int32_t> token(
      0, static_cast<std::int32_t>(model.traits.vocabulary_size) - 1);
  std::int32_t next = token(generator);
  for (std::int64_t t = 0; t < tokens; ++t) {
    batch.ids_t.mutable_data<std::int32_t>()[t] = next;
    next = token(generator);
    batch.labels_t.mutable_data<std::int32_t>()[t] = next;
    batch.positions_t.mutable_data<std::int32_t>()[t] =
        static_cast<std::int32_t>(t % model.sequence);
  }
  return batch;
}

// Peak resident memory since the start or the last reset; 0 where the kernel does not tell.
inline std::int64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

inline bool reset_peak_rss() {
  std::ofstream clear("/proc/self/clear_refs");
  clear << "5" << std::flush;
  return clear.good();
}

}  // namespace collie::bench
