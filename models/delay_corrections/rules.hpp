// One maker per rule of delay_correction.hpp. Buffers are allocated here, so that a plan sees them.
#pragma once

#include "models/delay_correction.hpp"

namespace collie {

std::unique_ptr<DelayCorrection> make_discrepancy_correction(const DelayCorrectionOptions& options,
                                                             Optimizer& optimizer,
                                                             const Parameters& parameters,
                                                             Allocator& allocator);
std::unique_ptr<DelayCorrection> make_weight_prediction(const DelayCorrectionOptions& options,
                                                        Optimizer& optimizer,
                                                        const Parameters& parameters,
                                                        Allocator& allocator);
std::unique_ptr<DelayCorrection> make_nesterov_look_ahead(const OptimizerOptions& options,
                                                          const Parameters& parameters,
                                                          Allocator& allocator);

// Optimizer::step on a stage of one tensor shard, as asynchronous schedules have it.
void update_alone(Stream& stream, Optimizer& optimizer, const OptimizerStep& step,
                  Parameters& parameters);

// Of Parameters::computes(), without ZeRO.
Shape shape_of_computes(const Parameters& parameters);

// Weights that differ from the latest, in the type that kernels read: out = w + factor * direction.
void carry_weights(Stream& stream, Parameters& parameters, double factor, const Tensor& direction,
                   Tensor& out);

}  // namespace collie
