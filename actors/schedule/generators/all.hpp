// The generators by name, for the registry. See generators.hpp for what they are given.
#pragma once

#include "actors/schedule/generators.hpp"

namespace collie {

// Synchronous, one chunk per rank: simple.cpp
Result<Schedule> gpipe(const GeneratorOptions& options);
Result<Schedule> one_f_one_b(const GeneratorOptions& options);

}  // namespace collie
