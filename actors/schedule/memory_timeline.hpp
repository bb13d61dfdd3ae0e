// What each rank holds over time, by class. What the compute stream owns depends on the order of
// its program alone; only the buffers of messages depend on time. Pure.
#pragma once

#include "actors/schedule/cost_model.hpp"
#include "actors/schedule/simulate_wiring.hpp"

namespace collie {

// Fills in peak_memory, and memory if `with_points`. A version of a stage's weights lives until its
// last reader (or its DROP), gradients from the first W to STEP's end, PREDICT's weights until the
// next action that ends on the stage, a message from its arrival until its reader begins. Under
// rendezvous (`has_buffers` false) messages go straight to their readers.
void measure_memory(const Wiring& wiring, const Pricer& pricer,
                    const std::vector<std::vector<double>>& arrivals, bool has_buffers,
                    bool with_points, Simulation& simulation);

}  // namespace collie
