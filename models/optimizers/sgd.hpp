// Stochastic gradient descent with momentum, the same as torch.optim.SGD with dampening 0.
#pragma once

#include "models/optimizer.hpp"

namespace collie {

std::unique_ptr<Optimizer> make_sgd(const OptimizerOptions& options, const Parameters& parameters,
                                    Allocator& allocator);

}  // namespace collie
