// Speed and memory of a training step, as JSON lines with the fields of peer_torch.py.
//   train_bench [--model llama_23m|llama_12m|gpt2_124m] [--dtype float32|bfloat16] [--threads N]
//               [--mode loop|actors|compare|pp2|lora|evaluate] [--steps N] [--warmup N]
//               [--targets attention|all] [--micro-batches N]
//   loop     the stage's kernels called in a plain loop on one stream
//   actors   the same as an actor, as a run does it
//   compare  both in turn on the same stream; cost_ratio is actors over loop
//   pp2      two stages as actors, each with N threads; of_bound is the share of the speed that the
//            schedule allows with the costs of its stages, which are measured one after the other
//   lora     as actors, but rank 8 beside q, k and v, or beside every linear layer, is trained
//   alone evaluate a round of evaluation over --micro-batches as actors, in turn with the forward
//   half of
//            training in a plain loop; speed_ratio is evaluation's tokens/s over that half's
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "actors/plan.hpp"
#include "actors/schedule/generators.hpp"
#include "actors/schedule/simulate.hpp"
#include "models/flops.hpp"
#include "tests/bench/bench_measure.hpp"
#include "tests/bench/bench_trainers.hpp"

namespace collie::bench {
namespace {

struct Arguments {
  std::map<std::string, std::string> values{{"model", "llama_23m"},   {"dtype", "float32"},
                                            {"threads", "1"},         {"mode", "actors"},
                                            {"steps", "10"},          {"warmup", "3"},
                                            {"targets", "attention"}, {"micro-batches", "1"}};
  const std::string& text(const std::string& key) const { return values.at(key); }
  int number(const std::string& key) const {
    const std::string& value = values.at(key);
    int parsed = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
    return error == std::errc() && end == value.data() + value.size() ? parsed : 0;
  }
};

// What plan says of the same run; it says it without touching memory.
std::size_t planned_peak_bytes(const TrainOptions& options) {
  RunConfig config;
  config.model.dtype = options.dtype;
  config.data.sequence_length = options.model.sequence;
  config.train.micro_batch_size = options.model.rows / options.micro_batches;
  config.train.accumulation = options.micro_batches;
  ModelSetup setup;
  setup.traits = options.model.traits;
  setup.grid.pp = options.stages;
  setup.stages =
      require(partition_model(options.model.traits, options.stages, options.model.sequence));
  setup.schedule = require(
      make_schedule("1f1b", {.ranks = options.stages, .micro_batches = options.micro_batches}));
  setup.threads = options.threads;
  setup.tuning = options.tuning;
  return require(make_plan(config, setup)).total_bytes;
}

class Bench {
 public:
  Bench(Arguments arguments, TrainOptions options)
      : arguments_(std::move(arguments)),
        options_(std::move(options)),
        steps_(arguments_.number("steps")),
        warmup_(arguments_.number("warmup")) {}

  void loop() {
    Stream stream({.device = {}, .name = "bench", .threads = options_.threads});
    LoopTrainer trainer(options_, stream);
    Timed timed = measure([&] { return trainer.step(); });
    timed.pool_peak_bytes = stream.allocator().use().peak_bytes;
    print("loop", timed, peak_flops(stream, options_.dtype), Json::object());
  }

  void actors() {
    ActorTrainer trainer(options_);
    Timed timed = measure([&] { return trainer.step(); });
    timed.pool_peak_bytes = trainer.pool_peak_bytes();
    const double peak = peak_flops(trainer.stream(), options_.dtype);
    print("actors", timed, peak, {{"planned_peak_bytes", planned_peak_bytes(options_)}});
  }

  void lora() {
    options_.tuning = lora_of(arguments_.text("targets") == "all");
    ActorTrainer trainer(options_);
    Timed timed = measure([&] { return trainer.step(); });
    timed.pool_peak_bytes = trainer.pool_peak_bytes();
    print("lora", timed, peak_flops(trainer.stream(), options_.dtype),
          {{"targets", arguments_.text("targets")},
           {"planned_peak_bytes", planned_peak_bytes(options_)}});
  }

  // In turn, as compare does.
  void evaluate() {
    ActorTrainer actors(options_);
    LoopTrainer loop(options_, actors.stream());
    Timed evaluations, forwards;
    std::vector<double> ratios;
    for (int step = -warmup_; step < steps_; ++step) {
      for (int turn = 0; turn < 2; ++turn) {
        if ((turn + step) % 2 == 0) {
          evaluations.run([&] { return actors.evaluate(); }, step >= 0);
        } else {
          forwards.run([&] { return loop.forward(); }, step >= 0);
        }
      }
      if (step >= 0) ratios.push_back(forwards.seconds.back() / evaluations.seconds.back());
    }
    Json extra{{"micro_batches", options_.micro_batches},
               {"forward_step_ms_median", 1e3 * median(forwards.seconds)},
               {"speed_ratio", median(ratios)},
               {"loss_is_equal", evaluations.loss == forwards.loss}};
    print("evaluate", evaluations, peak_flops(actors.stream(), options_.dtype), extra);
  }

  // In turn, so that both see the same machine; the first of a pair changes from pair to pair.
  void compare() {
    ActorTrainer actors(options_);
    LoopTrainer loop(options_, actors.stream());
    Timed by_actors, by_loop;
    std::vector<double> ratios;
    for (int step = -warmup_; step < steps_; ++step) {
      for (int turn = 0; turn < 2; ++turn) {
        if ((turn + step) % 2 == 0) {
          by_actors.run([&] { return actors.step(); }, step >= 0);
        } else {
          by_loop.run([&] { return loop.step(); }, step >= 0);
        }
      }
      if (step >= 0) ratios.push_back(by_actors.seconds.back() / by_loop.seconds.back());
    }
    Json extra{{"loop_step_ms_median", 1e3 * median(by_loop.seconds)},
               {"cost_ratio", median(by_actors.seconds) / median(by_loop.seconds)},
               {"cost_ratio_of_pairs", median(ratios)},
               {"loss_is_equal", by_actors.loss == by_loop.loss}};
    print("compare", by_actors, peak_flops(actors.stream(), options_.dtype), extra);
  }

  void pp2() {
    options_.stages = 2;
    options_.micro_batches = static_cast<int>(options_.model.rows);
    ActorTrainer actors(options_);
    LoopTrainer loop(options_, actors.stream());
    Timed by_actors, by_loop;
    std::vector<double> bounds;
    const Schedule schedule =
        require(make_schedule("1f1b", {.ranks = 2, .micro_batches = options_.micro_batches}));
    for (int step = -warmup_; step < steps_; ++step) {
      by_actors.run([&] { return actors.step(); }, step >= 0);
      by_loop.run([&] { return loop.step(); }, step >= 0);
      if (step >= 0) bounds.push_back(bound_seconds(schedule, loop.stage_seconds()));
    }
    const double bound = median(bounds);
    Json costs = Json::array();
    for (const StageSeconds& stage : loop.stage_seconds()) {
      costs.push_back({1e3 * stage.forward, 1e3 * stage.backward, 1e3 * stage.finish});
    }
    Json extra{{"loop_step_ms_median", 1e3 * median(by_loop.seconds)},
               {"bound_ms_median", 1e3 * bound},
               {"of_bound", bound / median(by_actors.seconds)},
               {"stage_ms_forward_backward_finish", costs}};
    print("pp2", by_actors, 2.0 * peak_flops(actors.stream(), options_.dtype), extra);
  }

 private:
  static std::shared_ptr<const Tuning> lora_of(bool all_linear) {
    Tuning tuning;
    tuning.method = TuningMethod::lora;
    if (all_linear) tuning.targets = {"all-linear"};
    return std::make_shared<const Tuning>(std::move(tuning));
  }

  static double bound_seconds(const Schedule& schedule, const std::vector<StageSeconds>& stages) {
    CostModel costs;
    double finish = 0.0;
    for (const StageSeconds& stage : stages) {
      const double half = 0.5 * stage.backward;
      costs.stages.push_back({.forward = stage.forward, .input = half, .weight = half});
      finish = std::max(finish, stage.finish);
    }
    return require(simulate(schedule, costs, {.with_memory = false})).makespan + finish;
  }

  Timed measure(const std::function<double()>& step) const {
    Timed timed;
    for (int i = 0; i < warmup_; ++i) timed.run(step, false);
    timed.peak_rss = peak_rss_bytes();
    const bool can_reset = reset_peak_rss();
    for (int i = 0; i < steps_; ++i) timed.run(step, true);
    timed.steady_peak_rss = can_reset ? peak_rss_bytes() : 0;
    timed.peak_rss = std::max(timed.peak_rss, peak_rss_bytes());
    return timed;
  }

  void print(std::string_view mode, const Timed& timed, double peak, const Json& extra) const {
    const double middle = median(timed.seconds);
    const double best = *std::min_element(timed.seconds.begin(), timed.seconds.end());
    const auto tokens = static_cast<double>(options_.model.tokens());
    const double flops =
        tokens * training_flops_per_token(options_.model.traits, options_.model.sequence,
                                          options_.tuning.get());
    Json line{{"peer", "collie"},
              {"mode", mode},
              {"model", arguments_.text("model")},
              {"dtype", arguments_.text("dtype")},
              {"threads", options_.threads},
              {"batch", options_.model.rows},
              {"seq", options_.model.sequence},
              {"tokens_per_s_median", tokens / middle},
              {"tokens_per_s_best", tokens / best},
              {"peak_rss_bytes", timed.peak_rss},
              {"steady_peak_rss_bytes", timed.steady_peak_rss},
              {"pool_peak_bytes", timed.pool_peak_bytes},
              {"step_ms_median", 1e3 * middle},
              {"step_ms_best", 1e3 * best},
              {"loss", timed.loss},
              {"first_loss", timed.first_loss},
              {"steps", timed.seconds.size()},
              {"parameters", parameter_count(options_.model.traits)},
              {"flops_per_step", flops},
              {"peak_flops", peak},
              {"mfu", flops / middle / peak}};
    line.update(extra);
    fmt::print("{}\n", line.dump());
    std::fflush(stdout);
  }

  Arguments arguments_;
  TrainOptions options_;
  int steps_, warmup_;
};

Result<Arguments> parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view key = argv[i];
    const bool known =
        key.starts_with("--") && arguments.values.contains(std::string(key.substr(2)));
    if (!known || i + 1 == argc) {
      return make_error(ErrorCode::invalid_config, "{}: unknown, or without a value", key);
    }
    arguments.values[std::string(key.substr(2))] = argv[i + 1];
  }
  for (const char* key : {"threads", "steps", "warmup", "micro-batches"}) {
    if (arguments.number(key) < 1 || arguments.number(key) > 10000) {
      return make_error(ErrorCode::invalid_config, "--{} is a number from 1 to 10000", key);
    }
  }
  return arguments;
}

Status run(int argc, char** argv) {
  COLLIE_TRY(const Arguments arguments, parse(argc, argv));
  TrainOptions options;
  COLLIE_TRY(options.model, bench_model(arguments.text("model")));
  const std::string& dtype = arguments.text("dtype");
  if (dtype != "float32" && dtype != "bfloat16") {
    return make_error(ErrorCode::invalid_config, "--dtype is float32 or bfloat16, not {}", dtype);
  }
  options.dtype = dtype == "float32" ? DType::f32 : DType::bf16;
  options.threads = arguments.number("threads");
  options.micro_batches = arguments.number("micro-batches");
  if (options.model.rows % options.micro_batches != 0) {
    return make_error(ErrorCode::invalid_config,
                      "--micro-batches divides {} rows, which {} does not", options.model.rows,
                      options.micro_batches);
  }
  const std::map<std::string, void (Bench::*)()> modes{
      {"loop", &Bench::loop}, {"actors", &Bench::actors}, {"compare", &Bench::compare},
      {"pp2", &Bench::pp2},   {"lora", &Bench::lora},     {"evaluate", &Bench::evaluate}};
  const auto mode = modes.find(arguments.text("mode"));
  if (mode == modes.end()) {
    return make_error(ErrorCode::invalid_config,
                      "--mode is loop, actors, compare, pp2, lora or evaluate, not {}",
                      arguments.text("mode"));
  }
  Bench bench(arguments, std::move(options));
  (bench.*mode->second)();
  return ok_status();
}

}  // namespace
}  // namespace collie::bench

int main(int argc, char** argv) {
  const collie::Status status = collie::bench::run(argc, argv);
  if (status) return 0;
  fmt::print(stderr, "train_bench: {}\n", status.error().message);
  return 2;
}
