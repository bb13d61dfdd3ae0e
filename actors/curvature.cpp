#include "actors/curvature.hpp"

#include <algorithm>
#include <cmath>

namespace collie {

std::optional<RoundRequest> curvature_round(const RoundRequest& request, const Optimizer& optimizer,
                                            const OptimizerOptions& options, std::uint64_t seed) {
  if (request.mode != Mode::train || !optimizer.wants_hessian(request.step)) return std::nullopt;
  RoundRequest estimate;
  estimate.step = request.step;
  // A little less, so that 0.1 of 10 is 1.
  const double wanted = options.hessian_share * request.micro_batches - 1e-9;
  estimate.micro_batches =
      std::clamp(static_cast<int>(std::ceil(wanted)), 1, request.micro_batches);
  estimate.curvature = LabelDraw{seed, request.step};
  return estimate;
}

Status check_curvature_rounds(const RunConfig& config, const ModelSetup& model, bool custom_loss) {
  if (config.train.optimizer.name != "sophia") return ok_status();
  if (!model.schedule.contract.synchronous) {
    return make_error(ErrorCode::unsupported,
                      "train.optimizer.name: sophia measures curvature between updates, and "
                      "schedule {} has no moment between them; choose a synchronous schedule or "
                      "another optimizer",
                      model.schedule.name);
  }
  if (custom_loss) {
    return make_error(ErrorCode::unsupported,
                      "train.optimizer.name: sophia draws labels for cross entropy, and the loss "
                      "is one of the program's own; choose another optimizer");
  }
  return ok_status();
}

}  // namespace collie
