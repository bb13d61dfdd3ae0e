// Staleness, weight versions and credit: what the validator finds, beside what was published.
#include <fmt/ranges.h>

#include "actors/schedule/reproduce/compute.hpp"
#include "actors/schedule/validate.hpp"

namespace collie {

namespace {

std::string listed(const std::vector<int>& values) {
  return fmt::format("{}", fmt::join(values, ","));
}

// Staleness, mismatch and versions of each stage, "3,2,1,0 / 0,0,0,0 / 4,3,2,1".
Result<std::string> versions_of(std::string_view name, const ScheduleOptions& options) {
  COLLIE_TRY(const Schedule schedule, make_schedule(name, options));
  const Validation validation = validate(schedule);
  if (!validation.ok()) {
    return make_error(ErrorCode::invalid_config, "{}", validation.violations[0].sentence);
  }
  std::vector<int> staleness, mismatch, versions;
  for (const StageVersions& stage : validation.versions) {
    staleness.push_back(stage.staleness_max);
    mismatch.push_back(stage.mismatch_max);
    versions.push_back(stage.versions_in_use);
  }
  return fmt::format("{} / {} / {}", listed(staleness), listed(mismatch), listed(versions));
}

std::string credit_text(int credit) {
  return credit < 0 ? "deadlock" : fmt::format("{}", credit);
}

Result<std::string> credits_of(std::string_view name, const ScheduleOptions& options) {
  COLLIE_TRY(const Schedule schedule, make_schedule(name, options));
  const Validation validation = validate(schedule);
  return fmt::format("{} / {}", credit_text(validation.minimum_credit_tagged),
                     credit_text(validation.minimum_credit_fifo));
}

}  // namespace

ReproducedTable reproduce_versions() {
  ReproducedTable table{"Asynchronous schedules on 4 ranks: tau / mu / weight versions by stage",
                        {}};
  const auto add = [&table](std::string_view name, const ScheduleOptions& options,
                            std::string published, std::string note) {
    table.rows.push_back(compared(std::string(name), std::move(published),
                                  versions_of(name, options), std::move(note)));
  };
  const ScheduleOptions each{.ranks = 4, .micro_batches = 24};
  add("pipedream", each, "3,2,1,0 / 0,0,0,0 / 4,3,2,1", "tau P-1-s, P-s versions");
  add("pipedream-vsync", each, "3,3,3,3 / 0,0,0,0 / 4,4,3,2", "tau P-1 on all stages");
  add("pipedream-2bw", {.ranks = 4, .micro_batches = 24, .group = 4}, "1,1,1,1 / 0,0,0,0 / 2,2,2,2",
      "tau 1, 2 versions");
  add("1f1b", each, "0,0,0,0 / 0,0,0,0 / 1,1,1,1", "PipeDream-Flush");
  return table;
}

ReproducedTable reproduce_credits() {
  ReproducedTable table{
      "Least credit of a directed pair of ranks, 8 micro-batches on 4 ranks and 24 on 8: tagged / "
      "FIFO",
      {}};
  struct Published {
    std::string_view name;
    int chunks;
    std::string_view at_4, at_8;
  };
  for (const Published& row : {Published{"gpipe", 0, "0 / 0", "0 / 0"},
                               {"1f1b", 0, "1 / 1", "1 / 1"},
                               {"zb-h1", 0, "1 / 1", "1 / 1"},
                               {"zb-h2", 0, "1 / 1", "1 / 1"},
                               {"interleaved", 2, "1 / 1", "1 / 1"},
                               {"interleaved", 4, "1 / 1", "1 / 1"},
                               {"chimera", 0, "1 / 1", "1 / 1"},
                               {"looped-bfs", 2, "2 / 2", "3 / 3"},
                               {"zbv", 0, "2 / deadlock", "2 / deadlock"},
                               {"dualpipev", 0, "2 / deadlock", "2 / deadlock"},
                               {"dualpipe", 0, "2 / 2", "2 / deadlock"}}) {
    for (const int ranks : {4, 8}) {
      const ScheduleOptions options{
          .ranks = ranks, .micro_batches = ranks == 4 ? 8 : 24, .chunks = row.chunks};
      const std::string chunks = row.chunks > 0 ? fmt::format(", {} chunks", row.chunks) : "";
      table.rows.push_back(compared(fmt::format("{}, {} ranks{}", row.name, ranks, chunks),
                                    std::string(ranks == 4 ? row.at_4 : row.at_8),
                                    credits_of(row.name, options)));
    }
  }
  return table;
}

std::vector<ReproducedTable> reproduce_all() {
  return {reproduce_zero_bubble(),  reproduce_dual_pipe(), reproduce_controllable_memory(),
          reproduce_closed_forms(), reproduce_versions(),  reproduce_credits()};
}

}  // namespace collie
