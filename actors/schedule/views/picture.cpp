#include "actors/schedule/views/picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace collie {

const Action& action_at(const Schedule& schedule, int rank, std::size_t index) {
  const auto& program = schedule.programs[static_cast<std::size_t>(rank)];
  return program[index % program.size()];
}

std::string describe_place(const Schedule& schedule, ActionPlace place) {
  if (!place.exists() || place.rank < 0 || place.rank >= schedule.ranks()) return {};
  if (schedule.programs[static_cast<std::size_t>(place.rank)].empty()) return {};
  const auto index = static_cast<std::size_t>(place.position);
  return fmt::format("{} on rank {}", to_string(action_at(schedule, place.rank, index)),
                     place.rank);
}

Figures figures_of(const Picture& picture) {
  const Simulation& simulation = *picture.simulation;
  Figures figures;
  const double ranks = std::max<double>(1.0, static_cast<double>(simulation.busy.size()));
  const double busy = std::accumulate(simulation.busy.begin(), simulation.busy.end(), 0.0) / ranks;
  figures.makespan = simulation.makespan;
  for (const double span : simulation.span) figures.span = std::max(figures.span, span);
  if (figures.makespan > 0.0) figures.bubble_makespan = 1.0 - busy / figures.makespan;
  if (figures.span > 0.0) figures.bubble_span = 1.0 - busy / figures.span;
  if (simulation.steps > 1) figures.steady_period = simulation.steady_period;
  const auto& peaks = simulation.peak_memory;
  if (const auto peak = std::max_element(peaks.begin(), peaks.end()); peak != peaks.end()) {
    figures.peak_memory = *peak;
    figures.peak_rank = static_cast<int>(peak - peaks.begin());
  }
  if (picture.validation != nullptr) {
    for (const StageVersions& stage : picture.validation->versions) {
      figures.staleness = std::max(figures.staleness, stage.staleness_max);
      figures.mismatch = std::max(figures.mismatch, stage.mismatch_max);
      figures.versions = std::max(figures.versions, stage.versions);
    }
  }
  for (const IdleCause cause : idle_causes) {
    figures.idle.at(static_cast<std::size_t>(cause)) = simulation.idle_of(cause);
  }
  return figures;
}

std::string short_number(double value) {
  return fmt::format("{:.4g}", value == 0.0 ? 0.0 : value);
}

std::string percent(double share) {
  return fmt::format("{:.2f} %", 100.0 * std::max(0.0, share));
}

std::vector<std::pair<std::string, std::string>> summary_of(const Picture& picture) {
  const Schedule& schedule = *picture.schedule;
  const Figures figures = figures_of(picture);
  const auto count = [](int value) { return value < 0 ? std::string("-") : std::to_string(value); };
  std::vector<std::pair<std::string, std::string>> rows = {
      {"ranks x stages", fmt::format("{} x {}", schedule.ranks(), schedule.stages())},
      {"micro-batches", std::to_string(schedule.micro_batches)},
      {"steps", std::to_string(picture.simulation->steps)},
      {"makespan", short_number(figures.makespan)},
      {"longest span of a rank", short_number(figures.span)},
      {"bubble of the makespan", percent(figures.bubble_makespan)},
      {"bubble of the span", percent(figures.bubble_span)},
      {"time per step, steady",
       figures.steady_period > 0.0 ? short_number(figures.steady_period) : std::string("-")},
  };
  for (const IdleCause cause : idle_causes) {
    rows.emplace_back(fmt::format("idle: {}", name_of(cause)),
                      short_number(figures.idle.at(static_cast<std::size_t>(cause))));
  }
  rows.emplace_back("peak memory", fmt::format("{} (rank {})", short_number(figures.peak_memory),
                                               figures.peak_rank));
  rows.emplace_back("staleness (tau), updates", count(figures.staleness));
  rows.emplace_back("mismatch (mu), updates", count(figures.mismatch));
  rows.emplace_back("weight versions", count(figures.versions));
  return rows;
}

}  // namespace collie
