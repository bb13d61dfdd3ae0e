#include "actors/run_schedule.hpp"

#include "actors/hosting.hpp"
#include "actors/schedule/files.hpp"
#include "actors/schedule/generators.hpp"
#include "actors/schedule/validate.hpp"

namespace collie {

namespace {

ScheduleOptions generator_options(const RunConfig& config) {
  const GridSection& grid = config.grid;
  return {.ranks = grid.pp,
          .micro_batches = static_cast<int>(config.train.accumulation),
          .chunks = grid.chunks,
          .group = grid.group,
          .slices = grid.slices,
          .warm_up_steps = grid.warm_up_steps,
          .forward = grid.plan.forward,
          .input = grid.plan.input,
          .weight = grid.plan.weight,
          .communication = grid.plan.communication,
          .activation = grid.plan.activation,
          .weight_stash = grid.plan.weight_stash,
          .memory_cap = grid.plan.memory_cap};
}

// grid.plan is for schedules that plan; the other keys make_schedule() refuses by itself.
Status check_plan(const std::string& name, const ScheduleOptions& options) {
  const ScheduleGenerator* generator = find_generator(name);
  if (generator == nullptr || generator->takes.memory_cap) return ok_status();
  ScheduleOptions unplanned{.ranks = options.ranks,
                            .micro_batches = options.micro_batches,
                            .chunks = options.chunks,
                            .group = options.group,
                            .slices = options.slices,
                            .warm_up_steps = options.warm_up_steps};
  if (options == unplanned) return ok_status();
  return make_error(ErrorCode::invalid_config,
                    "grid.plan: schedule {} does not plan with costs; leave grid.plan out or use "
                    "zb-auto or zbv-greedy",
                    name);
}

// A generator's, or a file's, which must be of the size that the configuration says.
Result<Schedule> named_schedule(const RunConfig& config) {
  const std::string& name = config.grid.schedule;
  const int ranks = config.grid.pp;
  const auto micro_batches = static_cast<int>(config.train.accumulation);
  const ScheduleOptions options = generator_options(config);
  if (!is_schedule_file(name)) {
    COLLIE_TRY_VOID(check_plan(name, options));
    return make_schedule(name, options);
  }
  if (options != ScheduleOptions{.ranks = ranks, .micro_batches = micro_batches}) {
    return make_error(ErrorCode::invalid_config,
                      "grid.schedule: {} is a file, which says all of the schedule; leave out "
                      "grid.chunks, group, slices, warm_up_steps and plan",
                      name);
  }
  COLLIE_TRY(Schedule schedule, read_schedule(name));
  if (schedule.ranks() == ranks && schedule.micro_batches == micro_batches) return schedule;
  return make_error(
      ErrorCode::invalid_config,
      "{}: has {} ranks and {} micro-batches; set grid.pp and train.accumulation, now "
      "{} and {}, to these",
      name, schedule.ranks(), schedule.micro_batches, ranks, micro_batches);
}

// What stages that update on their own cannot have.
Status check_asynchronous_run(const Schedule& schedule, const Grid& grid,
                              const ModelTraits& traits) {
  if (grid.dp > 1 || grid.tp > 1) {
    return make_error(ErrorCode::unsupported,
                      "schedule {} is asynchronous: set grid.dp and grid.tp to 1, not {} and {}",
                      schedule.name, grid.dp, grid.tp);
  }
  if (traits.tied_embeddings && grid.pp > 1) {
    return make_error(ErrorCode::unsupported,
                      "schedule {} is asynchronous, and the model ties its embeddings: their two "
                      "copies would drift apart; use a synchronous schedule or an untied model",
                      schedule.name);
  }
  return ok_status();
}

}  // namespace

Status choose_schedule(const RunConfig& config, ModelSetup& setup) {
  COLLIE_TRY(setup.schedule, named_schedule(config));
  COLLIE_TRY_VOID(check_schedule(setup.schedule));
  COLLIE_TRY_VOID(check_trainable(setup.schedule));
  setup.schedule = as_trained(std::move(setup.schedule));
  setup.grid = grid_of(setup.schedule, config.grid.dp, config.grid.tp);
  if (!setup.schedule.contract.synchronous) {
    COLLIE_TRY_VOID(check_asynchronous_run(setup.schedule, setup.grid, setup.traits));
  }
  if (config.train.post_validation && !setup.schedule.contract.synchronous) {
    return make_error(
        ErrorCode::unsupported,
        "train.post_validation: schedule {} is asynchronous, its stages update without "
        "a barrier; set it to false or choose a synchronous schedule",
        setup.schedule.name);
  }
  setup.micro_batches = setup.schedule.micro_batches / setup.schedule.placement.directions();
  return ok_status();
}

}  // namespace collie
