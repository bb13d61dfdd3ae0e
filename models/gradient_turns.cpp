#include "models/gradient_turns.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "kernels/elementwise.hpp"

namespace collie {

namespace {

// Made in backward_input, where the other gradients of a segment are not.
bool is_norm(std::string_view name) {
  const std::array<std::string_view, 5> endings = {".norm", ".norm_bias", "final_norm",
                                                   "final_norm_bias", "_norm"};
  return std::ranges::any_of(endings,
                             [name](std::string_view ending) { return name.ends_with(ending); });
}

// "layers.3.mlp.up" is of the second segment of its layer; the embedding goes before all layers.
int segment_of(const StageSlice& slice, const std::string& name) {
  const int first = slice.has_embedding ? 1 : 0;
  constexpr std::string_view prefix = "layers.";
  if (!name.starts_with(prefix)) return 0;
  const std::int64_t layer = std::stoll(name.substr(prefix.size()));
  const bool is_mlp = name.find(".mlp.") != std::string::npos;
  return first + static_cast<int>(2 * (layer - slice.layer_begin)) + (is_mlp ? 1 : 0);
}

}  // namespace

void take_turns(const ModelTraits& traits, const StageSlice& slice, bool head_too,
                std::vector<ParameterSpec>& specs) {
  const auto layers = static_cast<int>(slice.layer_end - slice.layer_begin);
  const int head_segment = (slice.has_embedding ? 1 : 0) + 2 * layers;
  const bool is_tied = traits.tied_embeddings;
  for (ParameterSpec& spec : specs) {
    COLLIE_CHECK(spec.trainable && !spec.adapter, "{}: a tuned model takes no turns", spec.name);
    if (is_norm(spec.name)) continue;
    const bool is_looked_up = spec.name == "embedding" || spec.name == "positions";
    if (is_looked_up && is_tied && !slice.has_head) continue;
    if (spec.name == "head") {
      if (head_too && !is_tied) spec.turn = head_segment;
    } else {
      spec.turn = segment_of(slice, spec.name);
    }
  }
}

bool has_turn(const Parameters& parameters, int turn) {
  return std::ranges::any_of(parameters.specs(),
                             [turn](const ParameterSpec& spec) { return spec.turn == turn; });
}

void add_tied_gradient(Stream& stream, Parameters& parameters) {
  const int head = parameters.find("head");
  if (head < 0 || !parameters.is_alias(head) || !parameters.is_trainable(head)) return;
  Tensor embedding = parameters.gradient(parameters.find("embedding"));
  kernels::add(stream, embedding, parameters.gradient(head), embedding);
}

Steps step_standing(Stream& stream, OptimizerStep step, Optimizer& optimizer,
                    Parameters& parameters) {
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.is_in_turn(index) || parameters.is_alias(index)) continue;
    Steps update = optimizer.step_one(stream, step, parameters, index);
    while (update.advance()) co_yield update.reduction();
  }
}

}  // namespace collie
