// Which optimizer trains, and with what: the keys train.optimizer.* of a run's configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/dtype.hpp"

namespace collie {

// Parameters whose name matches have hyperparameters of their own; the first match counts.
struct ParameterGroup {
  // A glob ("*" any text, "?" one character) for the canonical name ("layers.3.attention.q") or the
  // name in Hugging Face files ("model.layers.3.self_attn.q_proj.weight").
  std::string pattern = {};
  double lr_scale = 1.0;
  std::optional<double> weight_decay = {}, beta1 = {}, beta2 = {};  // not given: the optimizer's

  bool operator==(const ParameterGroup&) const = default;
};

enum class DecayScope { matrices, all };  // matrices: not norms and biases
// Where an update within the backward gets the norm to clip by: from a pass over all gradients
// before it, or from the step before, whose norm is taken for this one's.
enum class ClipNorm { two_pass, previous };
enum class Rounding { nearest, stochastic };  // of updated weights without float32 ones
enum class MuonScale { original, adamw };     // sqrt(max(1, n / m)), or 0.2 * sqrt(max(n, m))

// An optional that is not given stands for the optimizer's own default.
struct OptimizerSection {
  std::string name = "adamw";
  std::optional<double> beta1 = {}, beta2 = {};
  double beta3 = 0.99;  // adan
  std::optional<double> epsilon = {};
  std::optional<double> momentum = {};      // sgd, muon
  double dampening = 0.0;                   // sgd
  std::optional<bool> nesterov = {};        // sgd, muon
  std::optional<double> weight_decay = {};  // where decay_scope says
  DecayScope decay_scope = DecayScope::matrices;
  bool proximal = true;                  // adan: weight decay as a proximal step
  double rho = 0.04;                     // sophia
  std::int64_t hessian_interval = 10;    // sophia: updates from one estimate to the next
  double hessian_share = 1.0;            // sophia: of a step's micro-batches, that estimate it
  double decay_rate = 0.8;               // adafactor, adalomo
  double clip_threshold = 1.0;           // adafactor, adalomo
  bool scale_parameter = true;           // adafactor
  bool relative_step = false;            // adafactor
  bool warmup_init = false;              // adafactor
  double clip_value = 0.0;               // lomo, adalomo: of each gradient element; 0: none
  std::int64_t newton_schulz_steps = 5;  // muon
  MuonScale muon_scale = MuonScale::original;
  std::optional<bool> in_backward = {};  // update weights within the backward; lomo, adalomo: true
  ClipNorm clip = ClipNorm::two_pass;
  Rounding rounding = Rounding::nearest;
  DType state_dtype = DType::f32;  // f32 or bf16 (rounded to nearest, ties to even)
  std::vector<ParameterGroup> groups = {};
};

}  // namespace collie
