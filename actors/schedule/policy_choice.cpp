#include "actors/schedule/policy_choice.hpp"

#include <algorithm>
#include <tuple>

#include "runtime/check.hpp"

namespace collie {

PolicyChoice::PolicyChoice(const Policy& policy, std::span<const Action> program, int slices)
    : slices_(static_cast<std::size_t>(slices)),
      bound_(policy.in_flight * slices),
      total_(static_cast<int>(program.size())),
      size_(total_) {
  find_held(program);
  fill_queues(policy, program);
}

void PolicyChoice::find_held(std::span<const Action> program) {
  int last = -1;
  for (const Action& action : program) {
    if (!is_computed(action.verb)) continue;
    last = std::max(last, action.micro_batch);
    if (held_index(action) < held_.size()) continue;
    held_.push_back({.stage = action.stage, .direction = action.direction});
  }
  std::ranges::sort(held_, [](const Held& a, const Held& b) {
    return std::tie(a.direction, a.stage) < std::tie(b.direction, b.stage);
  });
  const std::size_t units = static_cast<std::size_t>(last + 1) * slices_;
  for (Held& held : held_) {
    held.has_forward.assign(units, false);
    held.has_input.assign(units, false);
  }
}

std::size_t PolicyChoice::held_index(const Action& action) const {
  const auto found = std::ranges::find_if(held_, [&](const Held& held) {
    return held.stage == action.stage && held.direction == action.direction;
  });
  return static_cast<std::size_t>(found - held_.begin());
}

void PolicyChoice::fill_queues(const Policy& policy, std::span<const Action> program) {
  std::vector<Verb> priority = policy.priority;
  for (const Verb verb :
       {Verb::backward_input, Verb::backward, Verb::backward_weight, Verb::forward}) {
    if (std::ranges::find(priority, verb) == priority.end()) priority.push_back(verb);
  }
  std::vector<std::size_t> first(static_cast<std::size_t>(verb_count));  // queue of a kind
  for (const Verb verb : priority) {
    first[static_cast<std::size_t>(verb)] = queues_.size();
    for (std::size_t held = 0; held < held_.size(); ++held) {
      queues_.push_back({.held = held, .verb = verb});
    }
  }
  for (std::size_t at = 0; at < program.size(); ++at) {
    Choice choice{program[at], static_cast<int>(at)};
    choice.action.overlaps_next = false;
    if (!is_computed(choice.action.verb)) {
      fixed_.push_back(choice);
      continue;
    }
    const std::size_t begin = first[static_cast<std::size_t>(choice.action.verb)];
    queues_[begin + held_index(choice.action)].choices.push_back(choice);
  }
  std::erase_if(queues_, [](const Queue& queue) { return queue.choices.empty(); });
}

bool PolicyChoice::is_prepared(const Queue& queue) const {
  const Held& held = held_[queue.held];
  if (queue.verb == Verb::forward) return bound_ == 0 || held.in_flight < bound_;
  const std::size_t unit = unit_of(queue.choices[queue.head].action);
  return queue.verb == Verb::backward_weight ? held.has_input[unit] : held.has_forward[unit];
}

void PolicyChoice::started(const Action& action) {
  ++started_;
  if (!is_computed(action.verb)) {
    COLLIE_CHECK(next_fixed_ < fixed_.size() && fixed_[next_fixed_].action == action,
                 "{} is not the next action", to_string(action));
    ++next_fixed_;
    return;
  }
  const auto queue = std::ranges::find_if(queues_, [&](const Queue& candidate) {
    return !candidate.is_empty() && candidate.choices[candidate.head].action == action;
  });
  COLLIE_CHECK(queue != queues_.end(), "{} is not next of its kind", to_string(action));
  ++queue->head;
  Held& held = held_[queue->held];
  if (action.verb == Verb::forward) {
    held.has_forward[unit_of(action)] = true;
    ++held.in_flight;
  }
  if (makes_input_gradient(action.verb)) held.has_input[unit_of(action)] = true;
  if (makes_weight_gradient(action.verb)) --held.in_flight;
}

}  // namespace collie
