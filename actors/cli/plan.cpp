#include "actors/plan.hpp"

#include <memory>
#include <vector>

#include "actors/cli/command.hpp"
#include "actors/progress_format.hpp"

namespace collie::cli {

namespace {

struct PlanArguments {
  ConfigArguments config;
};

void print_shards(const Plan& plan, const RunConfig& config) {
  fmt::print("\n{:>5} {:>5}  {:<10} {:>11} {:>12} {:>12} {:>10}\n", "stage", "shard", "layers",
             "parameters", "with state", "peak memory", "in flight");
  for (const ShardPlan& shard : plan.shards) {
    const std::string layers = shard.layer_begin < shard.layer_end
                                   ? fmt::format("{}..{}", shard.layer_begin, shard.layer_end - 1)
                                   : "none";
    fmt::print("{:>5} {:>5}  {:<10} {:>11} {:>12} {:>12} {:>10}\n", shard.shard.stage,
               shard.shard.tensor, layers, format_count(static_cast<double>(shard.parameter_count)),
               format_bytes(shard.parameter_bytes), format_bytes(shard.peak_bytes),
               shard.micro_batches_in_flight);
  }
  if (config.grid.dp > 1) fmt::print("each of the {} replicas takes the same\n", config.grid.dp);
}

// Of a tuned run: what is trained, and the bytes that training it takes beside its values.
void print_trained(const Plan& plan) {
  std::size_t bytes = 0;
  for (const ShardPlan& shard : plan.shards) bytes += shard.training_bytes;
  const auto trained = static_cast<double>(plan.trained_count);
  print_row("trained",
            fmt::format("{} ({}), {:.3g} % of the model; gradients and state {} a replica",
                        format_count(trained), plan.trained_count,
                        100.0 * trained / static_cast<double>(plan.parameter_count),
                        format_bytes(bytes)));
}

// Of one replica.
double held_bytes_per_parameter(const Plan& plan) {
  double bytes = 0.0;
  for (const ShardPlan& shard : plan.shards) bytes += static_cast<double>(shard.parameter_bytes);
  return bytes / static_cast<double>(plan.parameter_count);
}

void print_plan(const Plan& plan, const RunConfig& config) {
  const double tokens = static_cast<double>(plan.tokens_per_step);
  print_row("parameters",
            fmt::format("{} ({})", format_count(static_cast<double>(plan.parameter_count)),
                        plan.parameter_count));
  if (plan.trained_count != plan.parameter_count) print_trained(plan);
  print_row("grid", fmt::format("dp {} x tp {} x pp {}, {}", config.grid.dp, config.grid.tp,
                                config.grid.pp, config.grid.schedule));
  print_row("memory", fmt::format("{} of {} {}", format_bytes(plan.total_bytes),
                                  format_bytes(plan.available.bytes), plan.available.source));
  print_row("per parameter", fmt::format("{:.2f} bytes of weights, gradients and optimizer state",
                                         held_bytes_per_parameter(plan)));
  print_row("step", fmt::format("{} tokens, {:.4g} GFLOP", plan.tokens_per_step,
                                plan.flops_per_step * 1e-9));
  print_row("step time", fmt::format("about {} at {:.0f} % of the measured peak, {} tok/s",
                                     format_duration(plan.step_seconds), 100.0 * planned_efficiency,
                                     format_count(tokens / plan.step_seconds)));
  print_row("bubble", fmt::format("{:.1f} % of the pipeline's time", 100.0 * plan.bubble_fraction));
  if (config.train.max_steps > 0) {
    print_row("run", fmt::format("{} steps, about {}", config.train.max_steps,
                                 format_duration(plan.step_seconds *
                                                 static_cast<double>(config.train.max_steps))));
  }
  print_shards(plan, config);
  for (const std::string& warning : config_warnings(config)) print_row("warning", warning);
}

// A plan that does not fit is printed first and then refused, as training would be.
Status plan_run(const PlanArguments& arguments) {
  COLLIE_TRY(const RunConfig config,
             load_config(arguments.config.file, arguments.config.overrides));
  COLLIE_TRY(const Plan plan, make_plan(config));
  print_plan(plan, config);
  std::fflush(stdout);
  return check_plan(plan);
}

}  // namespace

void add_plan(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<PlanArguments>();
  CLI::App* verb = add_config_verb(
      program, "plan",
      "Parameters, memory of every shard and step time, without reading data or weights",
      arguments->config);
  set_action(*verb, arguments, plan_run, action);
}

}  // namespace collie::cli
