#include "actors/schedule/simulate_wiring.hpp"

#include <fmt/format.h>

namespace collie {

Result<Wiring> Wiring::make(const Schedule& schedule) {
  if (schedule.programs.size() != static_cast<std::size_t>(schedule.ranks())) {
    return make_error(ErrorCode::invalid_config, "schedule {} has {} programs for {} ranks",
                      schedule.name, schedule.programs.size(), schedule.ranks());
  }
  Wiring wiring(schedule);
  COLLIE_TRY_VOID(wiring.check_actions());
  wiring.find_links();
  wiring.find_recomputes();
  COLLIE_TRY_VOID(wiring.check_inputs());
  return wiring;
}

Status Wiring::check_actions() const {
  const auto refuse = [this](std::size_t rank, const Action& action, std::string_view why) {
    return make_error(ErrorCode::invalid_config, "schedule {}, rank {}: {} {}", schedule_->name,
                      rank, to_string(action), why);
  };
  for (std::size_t rank = 0; rank < schedule_->programs.size(); ++rank) {
    const std::vector<Action>& program = schedule_->programs[rank];
    for (const Action& action : program) {
      const bool is_there = action.stage >= 0 && action.stage < schedule_->stages() &&
                            action.direction >= 0 &&
                            action.direction < schedule_->placement.directions();
      if (!is_there) return refuse(rank, action, "names a stage that the placement lacks");
      if (has_micro_batch(action.verb) &&
          (action.micro_batch < 0 || action.micro_batch >= schedule_->micro_batches ||
           action.slice < 0 || action.slice >= schedule_->slices)) {
        return refuse(rank, action, "names a micro-batch that the schedule lacks");
      }
    }
    if (!program.empty() && program.back().overlaps_next) {
      return refuse(rank, program.back(), "overlaps the action after it, and there is none");
    }
  }
  return ok_status();
}

Status Wiring::check_inputs() const {
  for (std::size_t rank = 0; rank < schedule_->programs.size(); ++rank) {
    const std::vector<Action>& program = schedule_->programs[rank];
    for (std::size_t at = 0; at < program.size(); ++at) {
      const ActionPlace here{static_cast<int>(rank), static_cast<int>(at)};
      COLLIE_TRY_VOID(check_inputs_of(program[at], here));
    }
  }
  return ok_status();
}

Status Wiring::check_inputs_of(const Action& action, ActionPlace here) const {
  const auto is_before = [here](ActionPlace place) {
    return place.exists() && place.rank == here.rank && place.position < here.position;
  };
  const auto refuse = [&](std::string_view why) {
    return make_error(ErrorCode::invalid_config, "schedule {}, rank {}: {}", schedule_->name,
                      here.rank, fmt::format("{} {}", to_string(action), why));
  };
  const bool makes_input = makes_input_gradient(action.verb);
  if ((makes_input || action.verb == Verb::recompute) && !is_before(forward_of(action))) {
    return refuse("comes before its F");
  }
  if (action.verb == Verb::backward_weight && !is_before(index_.unit(action).input)) {
    return refuse("comes before its I");
  }
  const bool reads = (action.verb == Verb::forward && action.stage > 0) ||
                     (makes_input && action.stage < schedule_->stages() - 1);
  if (!reads) return ok_status();
  const ActionPlace input = input_of(action);
  if (!input.exists()) return refuse("reads what no action makes");
  if (input.rank == here.rank && !is_before(input)) return refuse("comes before its input");
  return ok_status();
}

void Wiring::find_links() {
  const Placement& placement = schedule_->placement;
  const auto number = [&](int stage, int reader, int direction) {
    const RankLink link{placement.rank_of(stage, direction), placement.rank_of(reader, direction)};
    if (link.source == link.target) return -1;
    links_.push_back(link);
    return static_cast<int>(links_.size()) - 1;
  };
  const auto count = static_cast<std::size_t>(schedule_->stages() * placement.directions());
  forward_links_.assign(count, -1);
  backward_links_.assign(count, -1);
  for (int direction = 0; direction < placement.directions(); ++direction) {
    for (int stage = 0; stage + 1 < schedule_->stages(); ++stage) {
      forward_links_[stage_key(stage, direction)] = number(stage, stage + 1, direction);
      backward_links_[stage_key(stage + 1, direction)] = number(stage + 1, stage, direction);
    }
  }
}

std::size_t Wiring::unit_key(const Action& action) const {
  const auto micro_batches = static_cast<std::size_t>(schedule_->micro_batches);
  const auto slices = static_cast<std::size_t>(schedule_->slices);
  return (stage_key(action.stage, action.direction) * micro_batches +
          static_cast<std::size_t>(action.micro_batch)) *
             slices +
         static_cast<std::size_t>(action.slice);
}

void Wiring::find_recomputes() {
  for (const std::vector<Action>& program : schedule_->programs) {
    for (const Action& action : program) {
      if (action.verb != Verb::recompute) continue;
      if (recomputes_.empty()) {
        recomputes_.resize(static_cast<std::size_t>(schedule_->stages()) *
                           static_cast<std::size_t>(schedule_->placement.directions()) *
                           static_cast<std::size_t>(schedule_->micro_batches) *
                           static_cast<std::size_t>(schedule_->slices));
      }
      recomputes_[unit_key(action)] = true;
    }
  }
}

ActionPlace Wiring::input_of(const Action& action) const {
  if (action.verb == Verb::forward && action.stage > 0) {
    return index_.unit(action.stage - 1, action.micro_batch, action.slice, action.direction)
        .forward;
  }
  if (makes_input_gradient(action.verb) && action.stage + 1 < schedule_->stages()) {
    return index_.unit(action.stage + 1, action.micro_batch, action.slice, action.direction).input;
  }
  return {};
}

ActionPlace Wiring::reader_of(const Action& action) const {
  if (action.verb == Verb::forward && action.stage + 1 < schedule_->stages()) {
    return index_.unit(action.stage + 1, action.micro_batch, action.slice, action.direction)
        .forward;
  }
  if (makes_input_gradient(action.verb) && action.stage > 0) {
    return index_.unit(action.stage - 1, action.micro_batch, action.slice, action.direction).input;
  }
  return {};
}

int Wiring::inbound_link(const Action& action) const {
  if (action.verb == Verb::forward && action.stage > 0) {
    return forward_links_[stage_key(action.stage - 1, action.direction)];
  }
  if (makes_input_gradient(action.verb) && action.stage + 1 < schedule_->stages()) {
    return backward_links_[stage_key(action.stage + 1, action.direction)];
  }
  return -1;
}

int Wiring::outbound_link(const Action& action) const {
  if (action.verb == Verb::forward) {
    return forward_links_[stage_key(action.stage, action.direction)];
  }
  if (makes_input_gradient(action.verb)) {
    return backward_links_[stage_key(action.stage, action.direction)];
  }
  return -1;
}

int Wiring::barrier_ranks(const Action& action) const {
  if (action.verb == Verb::fence) return schedule_->ranks();
  if (action.verb != Verb::all_reduce || schedule_->placement.directions() == 1) return 1;
  const Placement& placement = schedule_->placement;
  return placement.rank_of(action.stage, 0) == placement.rank_of(action.stage, 1) ? 1 : 2;
}

}  // namespace collie
