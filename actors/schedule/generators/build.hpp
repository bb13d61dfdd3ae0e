// Words that generators are written in.
#pragma once

#include <algorithm>
#include <utility>

#include "actors/schedule/generators.hpp"

namespace collie {

// An empty schedule on a placement, with a program for each rank.
inline Schedule empty_schedule(std::string_view name, Placement placement, int micro_batches) {
  Schedule schedule{
      .name = std::string(name), .placement = std::move(placement), .micro_batches = micro_batches};
  schedule.programs.resize(static_cast<std::size_t>(schedule.ranks()));
  return schedule;
}

// STEP at the end of every rank's program, for each stage it holds.
inline Schedule with_steps(Schedule schedule) {
  for (int direction = 0; direction < schedule.placement.directions(); ++direction) {
    for (int stage = 0; stage < schedule.stages(); ++stage) {
      const auto rank = static_cast<std::size_t>(schedule.placement.rank_of(stage, direction));
      schedule.programs[rank].push_back(
          {.verb = Verb::step, .stage = stage, .direction = static_cast<signed char>(direction)});
    }
  }
  return schedule;
}

// warm_up forwards, then a forward and a backward in turn, then the backwards that are left.
// forward_at(k) and backward_at(k): the k-th of `count` actions of each kind.
template <class ForwardAt, class BackwardAt>
void one_forward_one_backward(std::vector<Action>& program, int count, int warm_up,
                              const ForwardAt& forward_at, const BackwardAt& backward_at) {
  for (int k = 0; k < std::min(warm_up, count); ++k) program.push_back(forward_at(k));
  for (int k = 0; k < count; ++k) {
    if (warm_up < count - k) program.push_back(forward_at(warm_up + k));
    program.push_back(backward_at(k));
  }
}

// The actions of one chunk on a rank, each kind in micro-batch order, as they are appended to the
// rank's program. Asking for a micro-batch past the last one counts but appends nothing.
class Lane {
 public:
  // Of the micro-batches [first, first + count).
  Lane(std::vector<Action>& program, int stage, int count, int first = 0, int direction = 0)
      : program_(&program),
        stage_(stage),
        first_(first),
        count_(count),
        direction_(static_cast<signed char>(direction)) {}

  void forward() { append(Verb::forward, forwards_); }
  void input() { append(Verb::backward_input, inputs_); }
  void weight() { append(Verb::backward_weight, weights_); }
  // I and W at once. No W of an earlier I may be pending, for W's come in order.
  void backward() {
    ++weights_;
    append(Verb::backward, inputs_);
  }
  int forwards() const { return forwards_; }
  int inputs() const { return inputs_; }
  int weights() const { return weights_; }

 private:
  void append(Verb verb, int& done) {
    const int micro_batch = done++;
    if (micro_batch >= count_) return;
    program_->push_back({.verb = verb,
                         .stage = stage_,
                         .micro_batch = first_ + micro_batch,
                         .direction = direction_});
  }

  std::vector<Action>* program_;
  int stage_;
  int first_;
  int count_;
  signed char direction_;
  int forwards_ = 0;
  int inputs_ = 0;
  int weights_ = 0;
};

}  // namespace collie
