// How long a schedule takes when every action takes its stage's time and messages take none.
#pragma once

#include <vector>

#include "actors/schedule/schedule.hpp"

namespace collie {

// forward_s and backward_s: seconds of F and B of each stage; I and W take half of B each. The
// schedule must have passed check_schedule.
double makespan(const Schedule& schedule, const std::vector<double>& forward_s,
                const std::vector<double>& backward_s);

}  // namespace collie
