#include "actors/schedule/reproduce/compute.hpp"
#include "actors/schedule/reproduce/zero_bubble_table.hpp"

namespace collie {

namespace {

Result<std::string> bubble_rate(const ZeroBubbleRow& row, const ZeroBubbleColumn& column) {
  const ScheduleOptions options = zero_bubble_options(row, column);
  COLLIE_TRY(const Schedule schedule, unbounded_schedule(column.generator, options));
  CostModel costs;
  costs.stages = {{.forward = options.forward, .input = options.input, .weight = options.weight}};
  costs.latency = row.times.communication_ms;
  COLLIE_TRY(const Simulation simulation, simulate(schedule, costs, {.with_memory = false}));
  double cost = longest_span(simulation);
  if (column.one_hop_per_rank_is_free) cost -= row.model.ranks * row.times.communication_ms;
  const double work =
      row.micro_batches * (row.times.forward_ms + row.times.input_ms + row.times.weight_ms);
  return fmt::format("{:.4f}", (cost - work) / cost);
}

}  // namespace

ReproducedTable reproduce_zero_bubble() {
  ReproducedTable table{"Zero Bubble (Qi et al. 2024), Table 5: bubble rates from Table 6's times",
                        {}};
  for (const ZeroBubbleRow& row : zero_bubble_rows) {
    for (std::size_t i = 0; i < zero_bubble_columns.size(); ++i) {
      const ZeroBubbleColumn& column = zero_bubble_columns[i];
      table.rows.push_back(compared(
          fmt::format("{}, {}, {} micro-batches", column.title, row.model.name, row.micro_batches),
          fmt::format("{:.4f}", row.bubble_rates[i]), bubble_rate(row, column),
          column.one_hop_per_rank_is_free
              ? "less one message time per rank, a convention inferred from the figures"
              : ""));
    }
  }
  return table;
}

}  // namespace collie
