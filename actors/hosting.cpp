#include "actors/hosting.hpp"

#include <algorithm>

#include "actors/delay_options.hpp"

namespace collie {

namespace {

HostedStage hosted_stage(const Placement& placement, int stage, int direction) {
  const int rank = placement.rank_of(stage, direction);
  HostedStage hosted{.stage = stage, .direction = direction};
  hosted.is_first = stage == 0;
  hosted.is_last = stage == placement.stages() - 1;
  hosted.previous_is_here = !hosted.is_first && placement.rank_of(stage - 1, direction) == rank;
  hosted.next_is_here = !hosted.is_last && placement.rank_of(stage + 1, direction) == rank;
  return hosted;
}

// Each direction runs as a replica of its own, which counts its units from 0.
std::vector<Action> local_program(const Schedule& schedule, std::size_t rank) {
  std::vector<Action> program = schedule.programs[rank];
  const int per_direction = schedule.micro_batches / schedule.placement.directions();
  for (Action& action : program) {
    if (!has_micro_batch(action.verb)) continue;
    action.micro_batch -= action.direction * per_direction;
    action.micro_batch = unit_of(schedule, action);
    action.slice = 0;
  }
  return program;
}

bool is_pin_or_drop(const Action& action) {
  return action.verb == Verb::pin || action.verb == Verb::drop;
}

Status check_asynchronous(const Schedule& schedule) {
  if (schedule.placement.directions() == 2) {
    return make_error(
        ErrorCode::unsupported,
        "schedule {} is asynchronous and bidirectional: the two replicas of a stage would update "
        "by themselves and drift apart; use one direction, or a synchronous contract",
        schedule.name);
  }
  if (schedule.policy.decides()) {
    return make_error(ErrorCode::unsupported,
                      "schedule {} is asynchronous and has a policy: only orders can be trained "
                      "with asynchronously",
                      schedule.name);
  }
  return check_correction(schedule);
}

Status check_slices(const Schedule& schedule) {
  if (!schedule.contract.synchronous) {
    return make_error(ErrorCode::unsupported,
                      "schedule {} is asynchronous and has {} slices: the slices of a micro-batch "
                      "would meet different weights; use 1 slice or a synchronous contract",
                      schedule.name, schedule.slices);
  }
  const std::int64_t units = std::int64_t{1} * schedule.micro_batches * schedule.slices;
  if (units <= static_cast<std::int64_t>(limits::inbox_messages_max / 4)) return ok_status();
  return make_error(
      ErrorCode::unsupported,
      "schedule {}: {} micro-batches of {} slices; at most {} slices of a step can be "
      "trained with: use fewer",
      schedule.name, schedule.micro_batches, schedule.slices, limits::inbox_messages_max / 4);
}

bool has_own_place(Verb verb) {
  return verb == Verb::recompute || verb == Verb::predict || verb == Verb::fence;
}

// A synchronous step ends with a barrier of its own, where all STEPs are made.
Status check_end_of_step(const Schedule& schedule, const std::vector<Action>& program) {
  const auto step = std::ranges::find(program, Verb::step, &Action::verb);
  const auto behind = std::find_if(step, program.end(),
                                   [](const Action& action) { return action.verb != Verb::step; });
  if (behind == program.end() || is_pin_or_drop(*behind) || is_computed(behind->verb)) {
    return ok_status();
  }
  return make_error(ErrorCode::unsupported,
                    "schedule {}: {} stands behind {}: a synchronous step ends with the STEPs of "
                    "all ranks at once; move it before them or remove it",
                    schedule.name, to_string(*behind), to_string(*step));
}

Status check_verbs(const Schedule& schedule, const std::vector<Action>& program) {
  for (const Action& action : program) {
    if (has_own_place(action.verb) && schedule.policy.decides()) {
      return make_error(ErrorCode::unsupported,
                        "schedule {} has a policy, which chooses among F, I, W and B alone: {} "
                        "needs an order; remove it or the policy",
                        schedule.name, to_string(action));
    }
    if (has_own_place(action.verb) || is_computed(action.verb) || action.verb == Verb::step ||
        is_pin_or_drop(action)) {
      continue;
    }
    return make_error(ErrorCode::unsupported,
                      "schedule {}: {} can be simulated, but not trained with yet", schedule.name,
                      to_string(action));
  }
  return schedule.contract.synchronous ? check_end_of_step(schedule, program) : ok_status();
}

}  // namespace

Status check_trainable(const Schedule& schedule) {
  if (!schedule.contract.synchronous) COLLIE_TRY_VOID(check_asynchronous(schedule));
  if (schedule.slices > 1) COLLIE_TRY_VOID(check_slices(schedule));
  for (const std::vector<Action>& program : schedule.programs) {
    COLLIE_TRY_VOID(check_verbs(schedule, program));
  }
  return ok_status();
}

int unit_of(const Schedule& schedule, const Action& action) {
  return action.micro_batch * schedule.slices + action.slice;
}

int group_of(const Schedule& schedule) {
  return schedule.contract.synchronous ? 0 : schedule.versions.step_every;
}

Schedule as_trained(Schedule schedule) {
  for (std::vector<Action>& program : schedule.programs) std::erase_if(program, is_pin_or_drop);
  return schedule;
}

Grid grid_of(const Schedule& schedule, int dp, int tp) {
  return {dp * schedule.placement.directions(), tp, schedule.stages()};
}

std::vector<HostRank> host_ranks(const Grid& grid, const Schedule& schedule) {
  const Placement& placement = schedule.placement;
  const int directions = placement.directions();
  COLLIE_CHECK(grid.pp == placement.stages() && grid.dp % directions == 0,
               "a grid of {} stages and {} replicas for schedule {}", grid.pp, grid.dp,
               schedule.name);
  std::vector<HostRank> ranks;
  for (int pipeline = 0; pipeline < grid.dp / directions; ++pipeline) {
    for (int rank = 0; rank < placement.ranks(); ++rank) {
      for (int tensor = 0; tensor < grid.tp; ++tensor) {
        HostRank& host = ranks.emplace_back();
        host.program = local_program(schedule, static_cast<std::size_t>(rank));
        if (!schedule.contract.synchronous) {
          host.version_uses = version_uses(schedule, host.program);
        }
        for (int direction = 0; direction < directions; ++direction) {
          for (int stage = 0; stage < placement.stages(); ++stage) {
            if (placement.rank_of(stage, direction) != rank) continue;
            const ShardId id{pipeline * directions + direction, stage, tensor};
            host.shards.push_back({id, hosted_stage(placement, stage, direction), {}});
          }
        }
      }
    }
  }
  return ranks;
}

Trace rank_traces(const Grid& grid, const Schedule& schedule,
                  const std::vector<std::vector<TracedAction>>& traces) {
  const int per_direction = schedule.micro_batches / schedule.placement.directions();
  Trace ranks(static_cast<std::size_t>(schedule.ranks()));
  for (int direction = 0; direction < schedule.placement.directions(); ++direction) {
    for (int stage = 0; stage < schedule.stages(); ++stage) {
      const auto shard = static_cast<std::size_t>(index_of(grid, {direction, stage, 0}));
      const auto rank = static_cast<std::size_t>(schedule.placement.rank_of(stage, direction));
      for (TracedAction done : traces[shard]) {
        Action& action = done.action;
        if (has_micro_batch(action.verb)) {
          action.slice = static_cast<short>(action.micro_batch % schedule.slices);
          action.micro_batch = action.micro_batch / schedule.slices + direction * per_direction;
        }
        ranks[rank].push_back(done);
      }
    }
  }
  for (std::vector<TracedAction>& rank : ranks) {
    std::ranges::sort(rank, {}, &TracedAction::position);
  }
  return ranks;
}

std::vector<std::size_t> hosts_of_shards(const Grid& grid, const Schedule& schedule) {
  std::vector<std::size_t> hosts(static_cast<std::size_t>(grid.shard_count()));
  const std::vector<HostRank> ranks = host_ranks(grid, schedule);
  for (std::size_t host = 0; host < ranks.size(); ++host) {
    for (const HostedShard& shard : ranks[host].shards) {
      hosts[static_cast<std::size_t>(index_of(grid, shard.id))] = host;
    }
  }
  return hosts;
}

}  // namespace collie
