#include "models/delay_correction.hpp"

#include <algorithm>
#include <cmath>

#include "models/delay_corrections/rules.hpp"

namespace collie {

double annealed_learning_rate(double learning_rate, int staleness, std::int64_t updates_done,
                              int anneal_updates) {
  const double progress =
      anneal_updates == 0 ? 1.0 : static_cast<double>(updates_done) / anneal_updates;
  return learning_rate / std::pow(std::max(1, staleness), 1.0 - std::min(progress, 1.0));
}

Result<std::unique_ptr<DelayCorrection>> make_delay_correction(
    const DelayCorrectionOptions& options, const OptimizerOptions& optimizer_options,
    Optimizer& optimizer, const Parameters& parameters, Allocator& allocator) {
  switch (options.rule) {
    case DelayRule::none:
      break;
    case DelayRule::discrepancy:
      return make_discrepancy_correction(options, optimizer, parameters, allocator);
    case DelayRule::prediction:
      if (!optimizer.has_direction()) {
        return make_error(ErrorCode::invalid_config,
                          "train.optimizer.name: the schedule predicts weights along the "
                          "optimizer's direction, and {} as it is configured has none; use adamw, "
                          "or sgd with momentum",
                          optimizer_options.name);
      }
      return make_weight_prediction(options, optimizer, parameters, allocator);
    case DelayRule::look_ahead: {
      if (optimizer_options.name != "sgd") {
        return make_error(ErrorCode::invalid_config,
                          "train.optimizer.name: the schedule's Nesterov correction is an update "
                          "of sgd's, not of {}'s; set it to sgd or choose another schedule",
                          optimizer_options.name);
      }
      COLLIE_TRY(const OptimizerOptions filled, with_defaults(optimizer_options));
      return make_nesterov_look_ahead(filled, parameters, allocator);
    }
  }
  return std::unique_ptr<DelayCorrection>();
}

}  // namespace collie
