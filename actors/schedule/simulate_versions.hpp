// Weight versions of a simulation: which each action reads, and which STEPs have to keep the
// weights that they replace. Neither depends on time. Pure.
#pragma once

#include <vector>

#include "actors/schedule/simulate_wiring.hpp"

namespace collie {

struct Simulation;

// Fills version and forward_version of simulation.actions, which stand as the programs are written,
// repeated for each step.
void assign_versions(const Wiring& wiring, Simulation& simulation);

// By rank and position in the repeated program: the STEPs that copy weights before they update
// them, because an action behind reads the version that they replace, and no PIN has copied it.
std::vector<std::vector<bool>> steps_that_copy(const Wiring& wiring, const Simulation& simulation);

}  // namespace collie
