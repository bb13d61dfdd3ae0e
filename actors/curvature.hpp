// Rounds that estimate an optimizer's curvature (Sophia-G, Liu et al. 2023, Algorithm 2): the
// step's program once more over some of its micro-batches, with labels drawn from the model in
// place of the data's. The gradients are made and reduced as a training round's are; then the
// optimizer's curvature is renewed in place of an update. No parameter changes, no step is counted
// and nothing is clipped. Such a round goes before the update that is the first to use it
// (Algorithm 3).
#pragma once

#include <optional>

#include "actors/protocol/trainer_core.hpp"
#include "actors/run_setup.hpp"
#include "models/optimizer.hpp"

namespace collie {

// The round to run before this one; none before most steps and evaluations. seed: of the draws.
std::optional<RoundRequest> curvature_round(const RoundRequest& request, const Optimizer& optimizer,
                                            const OptimizerOptions& options, std::uint64_t seed);

// Whether a run can have such rounds, where its optimizer wants them.
Status check_curvature_rounds(const RunConfig& config, const ModelSetup& model, bool custom_loss);

}  // namespace collie
