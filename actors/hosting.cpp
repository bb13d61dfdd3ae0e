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

// Each direction runs as a replica of its own, which counts its micro-batches from 0.
std::vector<Action> local_program(const Schedule& schedule, std::size_t rank) {
  std::vector<Action> program = schedule.programs[rank];
  const int per_direction = schedule.micro_batches / schedule.placement.directions();
  for (Action& action : program) {
    if (has_micro_batch(action.verb)) action.micro_batch -= action.direction * per_direction;
  }
  return program;
}

bool is_pin_or_drop(const Action& action) {
  return action.verb == Verb::pin || action.verb == Verb::drop;
}

Status check_asynchronous(const Schedule& schedule) {
  if (schedule.placement.kind() != PlacementKind::linear) {
    return make_error(
        ErrorCode::unsupported,
        "schedule {} is asynchronous on placement {}: only linear ones can be trained "
        "with yet",
        schedule.name, schedule.placement.describe());
  }
  return check_correction(schedule);
}

}  // namespace

Status check_trainable(const Schedule& schedule) {
  if (!schedule.contract.synchronous) COLLIE_TRY_VOID(check_asynchronous(schedule));
  if (schedule.slices > 1) {
    return make_error(ErrorCode::unsupported,
                      "schedule {} cuts micro-batches into {} slices: it can be simulated, but not "
                      "trained with yet",
                      schedule.name, schedule.slices);
  }
  if (schedule.policy.decides() && !schedule.contract.synchronous) {
    return make_error(ErrorCode::unsupported,
                      "schedule {} is asynchronous and has a policy: only orders can be trained "
                      "with asynchronously",
                      schedule.name);
  }
  for (const std::vector<Action>& program : schedule.programs) {
    for (const Action& action : program) {
      if (is_computed(action.verb) || action.verb == Verb::step || is_pin_or_drop(action)) continue;
      return make_error(ErrorCode::unsupported,
                        "schedule {}: {} can be simulated, but not trained with yet", schedule.name,
                        to_string(action));
    }
  }
  return ok_status();
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
        if (has_micro_batch(done.action.verb)) done.action.micro_batch += direction * per_direction;
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
