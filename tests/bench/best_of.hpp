// For benches whose work is the same each time: only the machine can make one run slower.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>

#include "runtime/elapsed.hpp"

namespace collie::bench {

template <class Work>
double best_of_five_s(Work&& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 5; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    best = std::min(best, seconds_since(begin));
  }
  return best;
}

}  // namespace collie::bench
