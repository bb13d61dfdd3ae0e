#include "actors/schedule/search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <tuple>

#include "actors/schedule/validate.hpp"

namespace collie {

namespace {

// What a generator plans with: times of one chunk, memory of a rank's share.
ScheduleOptions planning_options(const SearchOptions& options, int chunks) {
  const double parts = std::max(chunks, 1);
  return {.ranks = options.ranks,
          .micro_batches = options.micro_batches,
          .chunks = chunks,
          .forward = options.costs.forward / parts,
          .input = options.costs.input / parts,
          .weight = options.costs.weight / parts,
          .communication = options.latency,
          .activation = options.memory.activation,
          .weight_stash = options.memory.weight_stash};
}

std::vector<int> groups_of(const SearchOptions& options) {
  if (!options.groups.empty()) return options.groups;
  std::vector<int> groups = {0};
  for (const std::int64_t group :
       {std::int64_t{1}, std::int64_t{2}, (std::int64_t{options.ranks} + 1) / 2,
        std::int64_t{options.ranks}, 2 * std::int64_t{options.ranks},
        std::int64_t{options.micro_batches}}) {
    if (group <= options.micro_batches) groups.push_back(static_cast<int>(group));
  }
  return groups;
}

// Those a plan may use: the generator's usual one, the one asked for, and around 1F1B's memory.
std::vector<double> caps_of(const SearchOptions& options) {
  std::vector<double> caps = {0.0};
  if (options.memory_cap > 0.0) caps.push_back(options.memory_cap);
  const double usual = options.ranks * options.memory.activation;
  for (const double share : {0.5, 0.75, 1.5, 2.0}) {
    const double cap = share * usual;
    if (options.memory_cap == 0.0 || cap < options.memory_cap) caps.push_back(cap);
  }
  return caps;
}

// All combinations of the parameters that a generator takes.
std::vector<ScheduleOptions> variants(const Takes& takes, const SearchOptions& options) {
  const std::vector<int> usual = {0}, whole = {1};
  std::vector<ScheduleOptions> all;
  for (const int chunks : takes.chunks == 0 ? options.chunks : usual) {
    for (const int group : takes.group ? groups_of(options) : usual) {
      for (const int slices : takes.slices ? options.slices : whole) {
        for (const double cap : takes.memory_cap ? caps_of(options) : std::vector<double>{0.0}) {
          ScheduleOptions& variant = all.emplace_back(planning_options(options, chunks));
          variant.group = group;
          variant.slices = slices;
          variant.memory_cap = cap;
        }
      }
    }
  }
  return all;
}

Status measure(const SearchOptions& options, const Schedule& schedule, SearchCandidate& candidate) {
  const Validation validation = validate(schedule);
  if (!validation.ok()) {
    return make_error(ErrorCode::invalid_config, "{}", validation.violations.front().sentence);
  }
  CostModel costs = share_costs(schedule, options.costs, options.memory);
  costs.latency = options.latency;
  COLLIE_TRY(const Simulation simulation, simulate(schedule, costs, {.with_memory = false}));
  COLLIE_TRY(const SteadyState steady, steady_state(schedule, costs));
  candidate.period = steady.period;
  const double ranks = options.ranks;
  const double busy = std::accumulate(simulation.busy.begin(), simulation.busy.end(), 0.0) / ranks;
  if (candidate.period > 0.0) {
    candidate.throughput = options.micro_batches / candidate.period / ranks;
    candidate.bubble = std::max(0.0, 1.0 - busy / candidate.period);
  }
  const auto& peaks = simulation.peak_memory;
  if (!peaks.empty()) candidate.peak_memory = *std::max_element(peaks.begin(), peaks.end());
  for (const StageVersions& stage : validation.versions) {
    candidate.staleness = std::max(candidate.staleness, stage.staleness_max);
  }
  if (options.memory_cap > 0.0 && candidate.peak_memory > options.memory_cap * (1.0 + 1e-9)) {
    return make_error(ErrorCode::out_of_memory, "takes {:.4g} of memory; the cap is {:.4g}",
                      candidate.peak_memory, options.memory_cap);
  }
  return ok_status();
}

bool dominates(const SearchCandidate& a, const SearchCandidate& b) {
  const auto at_most = [](double x, double y) { return x <= y + 1e-9 * std::abs(y); };
  const bool as_good = at_most(b.throughput, a.throughput) &&
                       at_most(a.peak_memory, b.peak_memory) && a.staleness <= b.staleness;
  const bool better = !at_most(a.throughput, b.throughput) ||
                      !at_most(b.peak_memory, a.peak_memory) || a.staleness < b.staleness;
  return as_good && better;
}

void mark_front(std::vector<SearchCandidate>& candidates) {
  for (SearchCandidate& candidate : candidates) {
    candidate.on_front =
        candidate.refused.empty() &&
        std::none_of(candidates.begin(), candidates.end(), [&](const SearchCandidate& other) {
          return other.refused.empty() && dominates(other, candidate);
        });
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const SearchCandidate& a, const SearchCandidate& b) {
                     return std::tuple(!a.refused.empty(), !a.on_front, -a.throughput) <
                            std::tuple(!b.refused.empty(), !b.on_front, -b.throughput);
                   });
}

class Search {
 public:
  explicit Search(const SearchOptions& options) : options_(options) {}

  void try_generator(const ScheduleGenerator& generator) {
    const std::vector<ScheduleOptions> all = variants(generator.takes, options_);
    bool is_first = true;
    for (const ScheduleOptions& variant : all) {
      try_one(generator, variant, is_first);
      is_first = false;
    }
  }

  std::vector<SearchCandidate> take() {
    mark_front(candidates_);
    return std::move(candidates_);
  }

 private:
  void try_one(const ScheduleGenerator& generator, const ScheduleOptions& options, bool is_first) {
    SearchCandidate candidate = {.generator = generator.name, .options = options};
    const Result<Schedule> schedule = make_schedule(generator.name, options);
    if (!schedule) {
      // That some parameters do not fit is no news; that the first ones do not, is.
      if (!is_first) return;
      candidate.refused = schedule.error().message;
      candidates_.push_back(std::move(candidate));
      return;
    }
    const bool known = std::any_of(tried_.begin(), tried_.end(), [&](const Schedule& other) {
      return other.programs == schedule->programs && other.placement == schedule->placement &&
             other.versions == schedule->versions;
    });
    if (known) return;
    tried_.push_back(*schedule);
    candidate.schedule_name = schedule->name;
    if (const Status status = measure(options_, *schedule, candidate); !status) {
      candidate.refused = status.error().message;
    }
    candidates_.push_back(std::move(candidate));
  }

  const SearchOptions& options_;
  std::vector<SearchCandidate> candidates_;
  std::vector<Schedule> tried_;
};

}  // namespace

CostModel share_costs(const Schedule& schedule, const StageCosts& costs,
                      const StageMemory& memory) {
  const double share = static_cast<double>(schedule.ranks()) / schedule.stages();
  StageCosts stage = costs;
  for (double* value :
       {&stage.forward, &stage.input, &stage.weight, &stage.recompute, &stage.step, &stage.copy}) {
    *value *= share;
  }
  if (stage.overlapped >= 0.0) stage.overlapped *= share;
  StageMemory bytes = memory;
  for (double* value : {&bytes.activation, &bytes.weight_stash, &bytes.weights, &bytes.gradients,
                        &bytes.optimizer}) {
    *value *= share;
  }
  CostModel model;
  model.stages = {stage};
  model.memory = {bytes};
  return model;
}

std::string arguments_of(std::string_view generator, const ScheduleOptions& options) {
  const ScheduleOptions usual;
  std::string text = fmt::format("{} --ranks {} --micro-batches {}", generator, options.ranks,
                                 options.micro_batches);
  const auto add = [&](std::string_view name, double value, double otherwise) {
    if (value != otherwise) text += fmt::format(" --{} {:g}", name, value);
  };
  add("chunks", options.chunks, usual.chunks);
  add("group", options.group, usual.group);
  add("slices", options.slices, usual.slices);
  add("memory-cap", options.memory_cap, usual.memory_cap);
  return text;
}

namespace {

Status check_count(const std::vector<ScheduleGenerator>& generators, const SearchOptions& options) {
  std::size_t count = 0;
  for (const ScheduleGenerator& generator : generators) {
    const Takes& takes = generator.takes;
    count += (takes.chunks == 0 ? options.chunks.size() : 1) *
             (takes.group ? groups_of(options).size() : 1) *
             (takes.slices ? options.slices.size() : 1) *
             (takes.memory_cap ? caps_of(options).size() : 1);
  }
  if (count <= static_cast<std::size_t>(options.candidates_max)) return ok_status();
  return make_error(ErrorCode::invalid_config,
                    "search: {} candidates are more than {}; give fewer numbers of chunks, groups "
                    "or slices",
                    count, options.candidates_max);
}

}  // namespace

Result<std::vector<SearchCandidate>> search_schedules(const SearchOptions& options) {
  std::vector<ScheduleGenerator> generators = schedule_generators();
  std::erase_if(generators, [&](const ScheduleGenerator& generator) {
    return generator.asynchronous && !options.asynchronous;
  });
  COLLIE_TRY_VOID(check_count(generators, options));
  Search search(options);
  for (const ScheduleGenerator& generator : generators) search.try_generator(generator);
  std::vector<SearchCandidate> candidates = search.take();
  if (candidates.empty() || !candidates.front().refused.empty()) {
    return make_error(
        ErrorCode::invalid_config, "no schedule of {} ranks and {} micro-batches can be run{}",
        options.ranks, options.micro_batches,
        candidates.empty()
            ? ""
            : fmt::format("; {}: {}", candidates.front().generator, candidates.front().refused));
  }
  return candidates;
}

}  // namespace collie
