// What train_bench measures of a step.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "kernels/peak.hpp"
#include "runtime/stream.hpp"
#include "tests/bench/bench_trainers.hpp"

namespace collie::bench {

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Of all threads at once, since cores that share power may be slower together.
inline double peak_flops(Stream& stream, DType dtype) {
  double best = 0.0;
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::vector<double> lanes(static_cast<std::size_t>(stream.threads()));
    stream.submit([&] {
      stream.parallel_for(stream.threads(), [&](std::int64_t index, int) {
        lanes[static_cast<std::size_t>(index)] = kernels::measure_peak_flops(dtype);
      });
    });
    stream.synchronize();
    double sum = 0.0;
    for (const double lane : lanes) sum += lane;
    best = std::max(best, sum);
  }
  return best;
}

struct Timed {
  std::vector<double> seconds;
  double first_loss = 0.0;
  double loss = 0.0;
  std::size_t pool_peak_bytes = 0;
  std::int64_t peak_rss = 0;
  std::int64_t steady_peak_rss = 0;

  void run(const std::function<double()>& step, bool counts) {
    const double begin = now_s();
    loss = step();
    if (counts) seconds.push_back(now_s() - begin);
    if (first_loss == 0.0) first_loss = loss;
  }
};

}  // namespace collie::bench
