#include <algorithm>

#include "actors/schedule/schedule.hpp"

namespace collie {

Schedule gpipe(int stages, int micro_batches) {
  Schedule schedule{"gpipe", stages, micro_batches, {}};
  for (int stage = 0; stage < stages; ++stage) {
    auto& program = schedule.programs.emplace_back();
    for (int mb = 0; mb < micro_batches; ++mb) program.push_back({Verb::forward, stage, mb});
    for (int mb = 0; mb < micro_batches; ++mb) program.push_back({Verb::backward, stage, mb});
    program.push_back({Verb::step, stage, 0});
  }
  return schedule;
}

Schedule one_f_one_b(int stages, int micro_batches) {
  Schedule schedule{"1f1b", stages, micro_batches, {}};
  for (int stage = 0; stage < stages; ++stage) {
    auto& program = schedule.programs.emplace_back();
    const int warm_up = std::min(stages - 1 - stage, micro_batches);
    for (int mb = 0; mb < warm_up; ++mb) program.push_back({Verb::forward, stage, mb});
    for (int mb = warm_up; mb < micro_batches; ++mb) {
      program.push_back({Verb::forward, stage, mb});
      program.push_back({Verb::backward, stage, mb - warm_up});
    }
    for (int mb = micro_batches - warm_up; mb < micro_batches; ++mb) {
      program.push_back({Verb::backward, stage, mb});
    }
    program.push_back({Verb::step, stage, 0});
  }
  return schedule;
}

Schedule forward_only(int stages, int micro_batches) {
  Schedule schedule{"forward-only", stages, micro_batches, {}};
  for (int stage = 0; stage < stages; ++stage) {
    auto& program = schedule.programs.emplace_back();
    for (int mb = 0; mb < micro_batches; ++mb) program.push_back({Verb::forward, stage, mb});
  }
  return schedule;
}

}  // namespace collie
