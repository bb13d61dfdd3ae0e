// AdamW (Loshchilov & Hutter 2019) with float32 moments.
#pragma once

#include "models/optimizer.hpp"

namespace collie {

std::unique_ptr<Optimizer> make_adamw(const OptimizerOptions& options, const Parameters& parameters,
                                      Allocator& allocator);

}  // namespace collie
