// Parameter-efficient tuning: a frozen model and something small beside it that is trained.
// Methods, names and files are those of Hugging Face's PEFT.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/parameters.hpp"
#include "models/stage.hpp"
#include "models/traits.hpp"

namespace collie {

enum class TuningMethod { full, lora, ia3, prefix, prompt, p_tuning, houlsby };
enum class TunedBiases { none, all, lora_only };
enum class LoraStart { kaiming, gaussian };  // variance of A: 1 / (3 inputs), or 1 / rank^2

struct Tuning {
  TuningMethod method = TuningMethod::full;
  // Modules to adapt: names as PEFT takes them ("q_proj", "layers.3.self_attn.q_proj", with * for
  // any characters, or "all-linear"); empty: the method's usual ones.
  std::vector<std::string> targets;
  std::vector<std::string> modules_to_save;  // trained whole: names as for targets
  std::vector<std::string> exclude_modules;  // not adapted whatever the targets say
  std::vector<std::int64_t> layers;          // empty: all; else the embedding and the head neither
  std::uint64_t seed = 0;                    // of dropout

  // lora (Hu et al. 2021): W + scale * B A. dora: Liu et al. 2024. rslora: Kalajdzievski 2023.
  std::int64_t rank = 8;
  double alpha = 16.0;
  // Where a module has another rank or alpha: names as for targets, the first that fits counts.
  std::vector<std::pair<std::string, std::int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
  LoraStart start = LoraStart::kaiming;
  double dropout = 0.0;
  bool rslora = false;
  bool dora = false;
  TunedBiases biases = TunedBiases::none;

  // ia3 (Liu et al. 2022): those of the targets whose input is scaled instead of their output;
  // empty: the MLP's projection down.
  std::vector<std::string> feedforward;

  // prefix (Li & Liang 2021), prompt (Lester et al. 2021), p_tuning (Liu et al. 2021).
  std::int64_t virtual_tokens = 20;
  std::int64_t projection_size = 0;  // p_tuning: width of the net the virtual tokens come from

  // houlsby (Houlsby et al. 2019): width of the bottleneck after each half layer.
  std::int64_t bottleneck = 64;

  bool is_full() const { return method == TuningMethod::full; }
  // lora: of the module with this path. scale: alpha / rank, or alpha / sqrt(rank).
  std::int64_t rank_of(std::string_view path) const;
  double scale_of(std::string_view path) const;
  // Tokens of its own that stand before every document: 0 for methods without.
  std::int64_t tokens_before() const;
};

// Of a tuning that may be null.
inline std::int64_t tokens_before(const Tuning* tuning) {
  return tuning == nullptr ? 0 : tuning->tokens_before();
}

// A linear layer of the decoder as files name it, e.g. "model.layers.0.self_attn.q_proj", and the
// parameters it consists of: one, or three where q, k and v are one tensor in files.
struct TunableModule {
  std::string path;
  std::vector<std::string> weights;  // canonical names
  std::int64_t rows = 0, cols = 0;   // of the whole
};
// All of the layers, in the decoder's order. Pure.
std::vector<TunableModule> tunable_modules(const ModelTraits& traits);
// Those the method can adapt: lora's are also the embedding and the head, behind them.
std::vector<TunableModule> adaptable_modules(const Tuning& tuning, const ModelTraits& traits);
// The number in "model.layers.3.mlp.up_proj"; -1 for what is of no layer.
std::int64_t layer_of_module(std::string_view path);

// The path of the module a parameter belongs to.
std::string module_path(const ParameterSpec& spec);
// The same, but "lm_head" for the head of a model with tied embeddings: an adapter of it is its
// own.
std::string adapted_path(const ParameterSpec& weight);
// Whether a target, or the tuning's targets, mean the module with this path. Patterns mean modules
// of layers alone; the embedding and the head are meant by name.
bool matches_module(std::string_view target, std::string_view path);
// modules_to_save is read as PEFT reads it: any ending of the path ("norm" means input_layernorm
// too), and * for any characters.
bool saves_module(std::string_view target, std::string_view path);
bool is_target(const Tuning& tuning, const ModelTraits& traits, std::string_view path);
inline constexpr std::string_view no_modules = "none";  // in feedforward: none of the targets
// ia3: whether this target's input is scaled.
bool is_feedforward(const Tuning& tuning, const ModelTraits& traits, std::string_view path);

// Refuses what cannot be: unknown targets (the known ones are listed), a rank above the matrix, ...
// Messages name the key, below "tuning.".
Status check_tuning(const Tuning& tuning, const ModelTraits& traits);
// Freezes what is not trained and appends the adapters' parameters of this slice. tuning has been
// checked. Pure.
void declare_tuning(const Tuning& tuning, const ModelTraits& traits, const StageSlice& slice,
                    std::vector<ParameterSpec>& specs);

// The name of a trained parameter's tensor in adapter_model.safetensors.
std::string adapter_tensor_name(const Tuning& tuning, const ModelTraits& traits,
                                const ParameterSpec& spec);
// All that is trained, of the whole model; hf.tensor is the name in adapter_model.safetensors.
// Pure.
std::vector<ParameterSpec> tuned_parameters(const Tuning& tuning, const ModelTraits& traits);

}  // namespace collie
