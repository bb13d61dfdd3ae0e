// Trace events for chrome://tracing and Perfetto (the "Trace Event Format", JSON). Pure.
#pragma once

#include <string>

#include "actors/schedule/views/picture.hpp"

namespace collie {

// One process of one thread per rank; every action a complete event with its stage, micro-batch,
// weight versions and the idle time before it; memory as counters. microseconds: of one unit of the
// simulation's time. invalid_config: more actions than limits::view_actions_max.
Result<std::string> chrome_trace(const Picture& picture, double microseconds = 1000.0);

}  // namespace collie
