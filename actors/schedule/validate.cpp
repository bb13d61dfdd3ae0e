#include "actors/schedule/validate.hpp"

#include <algorithm>
#include <map>

namespace collie {

namespace {

// Executes the programs on counters instead of tensors.
class Walk {
 public:
  Walk(const Schedule& schedule, int credit)
      : schedule_(schedule), credit_(credit), cursors_(schedule.programs.size(), 0) {}

  Status run() {
    for (bool progress = true; progress;) {
      progress = false;
      for (std::size_t rank = 0; rank < cursors_.size(); ++rank) {
        while (cursors_[rank] < schedule_.programs[rank].size() &&
               perform(schedule_.programs[rank][cursors_[rank]])) {
          ++cursors_[rank];
          progress = true;
        }
      }
    }
    COLLIE_TRY_VOID(all_finished());
    return all_complete();
  }

 private:
  // What a stage has finished, per micro-batch.
  struct Done {
    int forwards = 0, inputs = 0, weights = 0;
  };

  bool perform(const Action& action) {
    if (action.verb == Verb::step) return true;
    Done& mine = done_[{action.stage, action.micro_batch}];
    switch (action.verb) {
      default:
        return true;
      case Verb::forward:
        return perform_forward(action, mine);
      case Verb::backward_input:
        return perform_input(action, mine);
      case Verb::backward_weight:
        if (mine.inputs == 0) return false;
        ++mine.weights;
        return true;
      case Verb::backward:
        if (!perform_input(action, mine)) return false;
        ++mine.weights;
        return true;
    }
    return false;
  }

  bool perform_forward(const Action& action, Done& mine) {
    const bool first = action.stage == 0;
    const bool last = action.stage == schedule_.stages() - 1;
    if (!first && done_[{action.stage - 1, action.micro_batch}].forwards == 0) return false;
    if (!last && forward_queue_[action.stage] >= credit_) return false;
    if (!first) --forward_queue_[action.stage - 1];
    if (!last) ++forward_queue_[action.stage];
    ++mine.forwards;
    return true;
  }

  bool perform_input(const Action& action, Done& mine) {
    const bool first = action.stage == 0;
    const bool last = action.stage == schedule_.stages() - 1;
    if (mine.forwards == 0) return false;
    if (!last && done_[{action.stage + 1, action.micro_batch}].inputs == 0) return false;
    if (!first && backward_queue_[action.stage] >= credit_) return false;
    if (!last) --backward_queue_[action.stage + 1];
    if (!first) ++backward_queue_[action.stage];
    ++mine.inputs;
    return true;
  }

  Status all_finished() const {
    std::string stuck;
    for (std::size_t rank = 0; rank < cursors_.size(); ++rank) {
      const auto& program = schedule_.programs[rank];
      if (cursors_[rank] == program.size()) continue;
      stuck +=
          fmt::format("{}rank {} waits at {} (action {} of {})", stuck.empty() ? "" : ", ", rank,
                      to_string(program[cursors_[rank]]), cursors_[rank] + 1, program.size());
    }
    if (stuck.empty()) return ok_status();
    return make_error(ErrorCode::invalid_config, "schedule {} deadlocks with credit {}: {}",
                      schedule_.name, credit_, stuck);
  }

  Status all_complete() {
    const bool trains = std::ranges::any_of(schedule_.programs, [](const auto& program) {
      return std::ranges::any_of(program, [](const Action& a) { return a.verb == Verb::step; });
    });
    for (int stage = 0; stage < schedule_.stages(); ++stage) {
      for (int mb = 0; mb < schedule_.micro_batches; ++mb) {
        const Done& counts = done_[{stage, mb}];
        const int backwards = trains ? 1 : 0;
        if (counts.forwards == 1 && counts.inputs == backwards && counts.weights == backwards) {
          continue;
        }
        return make_error(ErrorCode::invalid_config,
                          "schedule {}: stage {} micro-batch {} has {} forwards, {} input and {} "
                          "weight gradients; expected one of each",
                          schedule_.name, stage, mb, counts.forwards, counts.inputs,
                          counts.weights);
      }
    }
    return ok_status();
  }

  const Schedule& schedule_;
  int credit_;
  std::vector<std::size_t> cursors_;
  std::map<std::pair<int, int>, Done> done_;
  std::map<int, int> forward_queue_, backward_queue_;  // by sending stage
};

}  // namespace

Status check_schedule(const Schedule& schedule) {
  return Walk(schedule, schedule.channel.credit).run();
}

}  // namespace collie
