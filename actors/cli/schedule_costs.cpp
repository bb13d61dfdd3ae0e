// What work costs: options of the command line, or a JSON file.
#include <fmt/format.h>

#include "actors/cli/schedule.hpp"
#include "actors/schedule/search.hpp"
#include "actors/schedule/views/picture.hpp"
#include "runtime/json.hpp"

namespace collie::cli {

namespace {

constexpr double cost_max = 1e15;

Result<MessageModel> parse_messages(const std::string& name) {
  if (name == "latency") return MessageModel::latency;
  if (name == "occupancy") return MessageModel::occupancy;
  if (name == "rendezvous") return MessageModel::rendezvous;
  return make_error(ErrorCode::invalid_config,
                    "messages: \"{}\" is none of latency, occupancy, rendezvous", name);
}

// The objects of an array, one for all stages or one per stage.
Result<std::vector<JsonReader>> read_rows(const JsonReader& costs, std::string_view key,
                                          int stages) {
  std::vector<JsonReader> rows;
  if (!costs.has(key)) return rows;
  COLLIE_TRY(const Json* array, costs.get_array(key));
  if (array->size() != 1 && array->size() != static_cast<std::size_t>(stages)) {
    return costs.error(key, fmt::format("has {} entries; give one for all, or {}: one per stage",
                                        array->size(), stages));
  }
  for (std::size_t row = 0; row < array->size(); ++row) {
    COLLIE_TRY(JsonReader reader,
               JsonReader::open((*array)[row], "costs", fmt::format("{}[{}]", key, row)));
    rows.push_back(std::move(reader));
  }
  return rows;
}

struct Field {
  std::string_view key;
  double* value;
};

Status read_fields(const JsonReader& row, std::span<const Field> fields) {
  for (const Field& field : fields) {
    COLLIE_TRY(*field.value, row.optional_number(field.key, *field.value, -1.0, cost_max));
    if (*field.value < 0.0 && field.key != "overlapped") {
      return row.error(field.key, "must not be negative");
    }
  }
  return row.refuse_unknown_keys();
}

Result<CostModel> read_costs(const std::string& path, int stages) {
  COLLIE_TRY(const Json json, read_json(path));
  COLLIE_TRY(const JsonReader reader, JsonReader::open(json, path));
  CostModel model;
  COLLIE_TRY(const auto stage_rows, read_rows(reader, "stages", stages));
  for (const JsonReader& row : stage_rows) {
    StageCosts& stage = model.stages.emplace_back();
    const Field fields[] = {// NOLINT(modernize-avoid-c-arrays)
                            {"forward", &stage.forward},
                            {"input", &stage.input},
                            {"weight", &stage.weight},
                            {"recompute", &stage.recompute},
                            {"overlapped", &stage.overlapped},
                            {"step", &stage.step},
                            {"copy", &stage.copy}};
    COLLIE_TRY_VOID(read_fields(row, fields));
  }
  COLLIE_TRY(const auto memory_rows, read_rows(reader, "memory", stages));
  for (const JsonReader& row : memory_rows) {
    StageMemory& memory = model.memory.emplace_back();
    const Field fields[] = {
        // NOLINT(modernize-avoid-c-arrays)
        {"activation", &memory.activation}, {"weight_stash", &memory.weight_stash},
        {"weights", &memory.weights},       {"gradients", &memory.gradients},
        {"optimizer", &memory.optimizer},   {"message", &memory.message}};
    COLLIE_TRY_VOID(read_fields(row, fields));
  }
  if (model.stages.empty()) model.stages = {{}};
  if (model.memory.empty()) model.memory = {{}};
  COLLIE_TRY(const std::string messages, reader.optional_string("messages", "latency"));
  COLLIE_TRY(model.messages, parse_messages(messages));
  COLLIE_TRY(model.latency, reader.optional_number("latency", 0.0, 0.0, cost_max));
  COLLIE_TRY(model.bandwidth, reader.optional_number("bandwidth", 0.0, 0.0, 1e18));
  COLLIE_TRY(model.jitter, reader.optional_number("jitter", 0.0, 0.0, 10.0));
  COLLIE_TRY(const std::int64_t seed, reader.optional_int("seed", 0, 0, INT64_MAX));
  model.seed = static_cast<std::uint64_t>(seed);
  COLLIE_TRY_VOID(reader.refuse_unknown_keys());
  return model;
}

Status spread(const Schedule& schedule, std::string_view option, const std::vector<double>& values,
              double StageCosts::*field, CostModel& model) {
  const auto stages = static_cast<std::size_t>(schedule.stages());
  if (values.size() != 1 && values.size() != stages) {
    return make_error(ErrorCode::invalid_config,
                      "--{}: {} numbers for {} stages; give one for all, or one per stage", option,
                      values.size(), stages);
  }
  if (values.size() > model.stages.size()) model.stages.resize(stages, model.stages.front());
  for (std::size_t stage = 0; stage < model.stages.size(); ++stage) {
    model.stages[stage].*field *= values[values.size() == 1 ? 0 : stage];
  }
  return ok_status();
}

}  // namespace

void add_cost_options(CLI::App& verb, CostArguments& arguments) {
  const auto list = [&](const char* name, std::vector<double>& values, const char* help) {
    verb.add_option(name, values, help)
        ->delimiter(',')
        ->expected(1)
        ->take_all()  // "1,2" is one argument of two numbers
        ->check(CLI::Range(0.0, cost_max))
        ->type_name("TIME[,TIME...]")
        ->group("Costs");
  };
  const auto number = [&](const char* name, double& value, const char* help) {
    verb.add_option(name, value, help)->check(CLI::Range(0.0, cost_max))->group("Costs");
  };
  list("--forward", arguments.forward, "Time of F, for all stages or a list of one per stage");
  list("--input", arguments.input, "... of I");
  list("--weight", arguments.weight, "... of W (B takes I and W)");
  list("--recompute", arguments.recompute, "... added to I where no R is written");
  list("--step", arguments.step, "... of STEP");
  list("--copy", arguments.copy,
       "... of keeping a version of the weights: PIN, STEP before readers");
  verb.add_option("--overlapped", arguments.overlapped,
                  "Time of F and B side by side; less than 0: "
                  "their sum")
      ->group("Costs");
  number("--latency", arguments.latency, "Time of a message between ranks");
  number("--bandwidth", arguments.bandwidth, "Message bytes per time; 0: unbounded");
  verb.add_option("--messages", arguments.messages, "latency, occupancy or rendezvous")
      ->check(CLI::IsMember({"latency", "occupancy", "rendezvous"}))
      ->group("Costs");
  number("--activation", arguments.memory.activation,
         "Bytes that F keeps for a micro-batch, of a rank's share of the model");
  number("--weight-stash", arguments.memory.weight_stash, "... of these, kept between I and W");
  number("--weights", arguments.memory.weights, "Bytes of one version of a rank's weights");
  number("--gradients", arguments.memory.gradients, "... of its gradients");
  number("--optimizer", arguments.memory.optimizer, "... of its optimizer's state");
  number("--message", arguments.memory.message, "... of a message");
  number("--jitter", arguments.jitter, "Standard deviation of a time over its mean");
  verb.add_option("--seed", arguments.seed, "Of the jitter")->group("Costs");
  verb.add_flag("--per-rank", arguments.per_rank,
                "Times are of a rank's share of the model, cut evenly into its stages")
      ->group("Costs");
  verb.add_option("--costs", arguments.file, "JSON file with all of these, instead")
      ->group("Costs");
}

Result<CostModel> make_costs(const Schedule& schedule, const CostArguments& arguments) {
  if (!arguments.file.empty()) return read_costs(arguments.file, schedule.stages());
  if (!arguments.run.empty()) return costs_of_run(arguments.run, schedule);
  // Factors of one that the lists then multiply; memory is always of a rank's share.
  const StageCosts ones = {
      .recompute = 1.0, .overlapped = arguments.overlapped, .step = 1.0, .copy = 1.0};
  CostModel model = share_costs(schedule, ones, arguments.memory);
  if (!arguments.per_rank) model.stages = {ones};
  COLLIE_TRY_VOID(spread(schedule, "forward", arguments.forward, &StageCosts::forward, model));
  COLLIE_TRY_VOID(spread(schedule, "input", arguments.input, &StageCosts::input, model));
  COLLIE_TRY_VOID(spread(schedule, "weight", arguments.weight, &StageCosts::weight, model));
  COLLIE_TRY_VOID(
      spread(schedule, "recompute", arguments.recompute, &StageCosts::recompute, model));
  COLLIE_TRY_VOID(spread(schedule, "step", arguments.step, &StageCosts::step, model));
  COLLIE_TRY_VOID(spread(schedule, "copy", arguments.copy, &StageCosts::copy, model));
  COLLIE_TRY(model.messages, parse_messages(arguments.messages));
  model.latency = arguments.latency;
  model.bandwidth = arguments.bandwidth;
  model.jitter = arguments.jitter;
  model.seed = arguments.seed;
  return model;
}

std::string describe_costs(const CostModel& costs) {
  const StageCosts& first = costs.stages.front();
  std::string text =
      costs.stages.size() == 1
          ? fmt::format("Simulated; a stage takes F {}, I {}, W {}", short_number(first.forward),
                        short_number(first.input), short_number(first.weight))
          : std::string("Simulated with times of each stage");
  if (costs.latency > 0.0) text += fmt::format(", a message {}", short_number(costs.latency));
  if (costs.jitter > 0.0) text += fmt::format(", jitter {} %", short_number(100.0 * costs.jitter));
  return text + ".";
}

}  // namespace collie::cli
