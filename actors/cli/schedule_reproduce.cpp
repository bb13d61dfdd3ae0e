// schedule reproduce: published figures beside ours.
#include <fmt/format.h>

#include <cstdio>

#include "actors/cli/schedule.hpp"
#include "actors/schedule/reproduce/reproduce.hpp"
#include "actors/schedule/views/compare.hpp"

namespace collie::cli {

namespace {

struct ReproduceArguments {
  bool quiet = false;
};

// Rows that pass count, rows that do not are always printed.
std::size_t print_table(const ReproducedTable& table, bool quiet) {
  std::vector<std::vector<std::string>> rows = {{"", "published", "ours", "", "  note"}};
  std::size_t failed = 0;
  for (const ReproducedRow& row : table.rows) {
    if (!row.passes) ++failed;
    if (quiet && row.passes) continue;
    rows.push_back({row.what, row.published, row.ours, row.passes ? "pass" : "FAIL",
                    row.note.empty() ? "" : "  " + row.note});
  }
  fmt::print("{}: {} of {} figures\n", table.title, table.rows.size() - failed, table.rows.size());
  if (rows.size() > 1) fmt::print("{}\n", aligned_table(rows, {0, 4}));
  return failed;
}

Status reproduce(const ReproduceArguments& arguments) {
  std::size_t failed = 0, count = 0;
  const std::vector<ReproducedTable> tables = reproduce_all();
  for (const ReproducedTable& table : tables) {
    failed += print_table(table, arguments.quiet);
    count += table.rows.size();
  }
  fmt::print("{} of {} published figures are reproduced\n", count - failed, count);
  std::fflush(stdout);
  if (failed == 0) return ok_status();
  return make_error(ErrorCode::invalid_data, "{} of {} published figures are not reproduced",
                    failed, count);
}

}  // namespace

void add_schedule_reproduce(CLI::App& schedule, Action& action) {
  auto arguments = std::make_shared<ReproduceArguments>();
  CLI::App* verb = schedule.add_subcommand(
      "reproduce", "Published figures beside ours, passing or not; exit code 2 where one fails");
  verb->add_flag("--quiet", arguments->quiet, "Only the rows that fail");
  set_action(*verb, arguments, reproduce, action);
}

}  // namespace collie::cli
