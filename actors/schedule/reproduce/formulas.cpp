// Closed forms that papers and READMEs print, evaluated and simulated.
#include <array>

#include "actors/schedule/reproduce/compute.hpp"

namespace collie {

namespace {

// One published formula on one configuration.
struct Case {
  std::string_view generator;
  int ranks, micro_batches, chunks;
  double forward, input, weight;  // of a chunk
};

std::string describe(const Case& at) {
  const std::string chunks = at.chunks > 1 ? fmt::format(", {} chunks", at.chunks) : "";
  return fmt::format("{}, {} ranks{}, {} micro-batches, F {:g} I {:g} W {:g}", at.generator,
                     at.ranks, chunks, at.micro_batches, at.forward, at.input, at.weight);
}

Result<Simulation> run(const Case& at, double activation) {
  ScheduleOptions options{.ranks = at.ranks, .micro_batches = at.micro_batches};
  if (at.chunks > 1) options.chunks = at.chunks;
  COLLIE_TRY(const Schedule schedule, unbounded_schedule(at.generator, options));
  CostModel costs;
  costs.stages = {{.forward = at.forward, .input = at.input, .weight = at.weight}};
  costs.memory = {{.activation = activation, .weight_stash = activation}};
  return simulate(schedule, costs, {.with_memory = false});
}

template <class Measure>
ReproducedRow row(const Case& at, std::string_view quantity, double published, double activation,
                  const Measure& measure, std::string note) {
  const auto ours = [&]() -> Result<std::string> {
    COLLIE_TRY(const Simulation simulation, run(at, activation));
    return fmt::format("{:g}", measure(simulation));
  };
  return compared(fmt::format("{}: {}", describe(at), quantity), fmt::format("{:g}", published),
                  ours(), std::move(note));
}

void add_bubble(ReproducedTable& table, const Case& at, double published, std::string note) {
  table.rows.push_back(row(at, "bubble", published, 1.0, idle_time, std::move(note)));
}

void add_peak(ReproducedTable& table, const Case& at, double published, double activation,
              std::string note) {
  table.rows.push_back(row(at, "peak", published, activation, highest_peak, std::move(note)));
}

}  // namespace

ReproducedTable reproduce_closed_forms() {
  ReproducedTable table{"Closed forms: idle time of a step, and peak activations", {}};
  for (const auto& [forward, input, weight] :
       {std::array{1.0, 1.0, 1.0}, std::array{3.0, 4.0, 2.0}}) {
    for (const int p : {2, 4, 8}) {
      const int m = 3 * p;
      const double both = forward + input + weight;
      const auto at = [&](std::string_view name, int chunks) {
        return Case{name, p, m, chunks, forward, input, weight};
      };
      add_bubble(table, at("gpipe", 1), (p - 1) * both, "(p-1)(F+B)");
      add_bubble(table, at("1f1b", 1), (p - 1) * both, "(p-1)(F+B)");
      add_bubble(table, at("interleaved", 2), (p - 1) * both, "(p-1)(F+B), of one chunk");
      add_bubble(table, at("interleaved", 4), (p - 1) * both, "(p-1)(F+B), of one chunk");
      add_bubble(table, at("looped-bfs", 2), (p - 1) * both, "(p-1)(F+B), of one chunk");
      add_bubble(table, at("zb-h1", 1), (p - 1) * (forward + input - weight), "(p-1)(F+I-W)");
      add_peak(table, at("gpipe", 1), m, 1.0, "m");
      add_peak(table, at("1f1b", 1), p, 1.0, "p");
      add_peak(table, at("zb-h1", 1), p, 1.0, "p");
      add_peak(table, at("zb-h2", 1), 2 * p - 1, 1.0, "2p-1");
      add_peak(table, at("zbv", 2), p, 0.5, "p");
      add_peak(table, at("interleaved", 2), p * (1.0 + (p - 1.0) / (2.0 * p)), 0.5,
               "p(1+(p-1)/(pv))");
    }
  }
  return table;
}

// The README's bubbles hold for F = I = W; the pairs of other times do not fit into each other as
// it counts them.
ReproducedTable reproduce_dual_pipe() {
  ReproducedTable table{"DualPipe README: bubbles and activations, with F&B = F+B", {}};
  for (const int stages : {4, 8, 16}) {
    const int pairs = stages / 2;
    const double bubble = (pairs - 1) * (3.0 + 2.0 - 3.0);
    const Case dual{"dualpipe", stages, 3 * stages, 1, 1.0, 1.0, 1.0};
    const Case dual_v{"dualpipev", stages / 2, 3 * stages, 1, 1.0, 1.0, 1.0};
    add_bubble(table, dual, bubble, "(PP/2-1)(F&B+B-3W)");
    add_peak(table, dual, stages + 1, 1.0, "PP+1");
    add_bubble(table, dual_v, bubble, "(PP/2-1)(F&B+B-3W), on PP/2 devices");
    add_peak(table, dual_v, stages + 1, 1.0, "PP+1, on PP/2 devices");
  }
  for (const auto& [forward, input, weight] :
       {std::array{1.0, 1.0, 1.0}, std::array{3.0, 4.0, 2.0}}) {
    const double backward = input + weight;
    for (const int p : {4, 8}) {
      const Case plain{"1f1b", p, 3 * p, 1, forward, input, weight};
      const Case split{"zb-h1", p, 3 * p, 1, forward, input, weight};
      add_bubble(table, plain, (p - 1) * (forward + backward), "1F1B: (PP-1)(F+B)");
      add_bubble(table, split, (p - 1) * (forward + backward - 2.0 * weight),
                 "ZB1P: (PP-1)(F+B-2W)");
    }
  }
  return table;
}

ReproducedTable reproduce_controllable_memory() {
  ReproducedTable table{
      "Controllable memory (Qi et al. 2024), authors' generators: idle time in chunks and peak "
      "activations in stages, equal times",
      {}};
  struct Published {
    int ranks, micro_batches;
    double min_idle, min_peak, half_idle, half_peak;
  };
  for (const Published& at : {Published{4, 8, 11, 2, 5, 3}, Published{8, 24, 27, 4, 17, 5},
                              Published{16, 64, 59, 6, 41, 9}}) {
    const Case least{"v-min", at.ranks, at.micro_batches, 1, 1.0, 1.0, 1.0};
    const Case half{"v-half", at.ranks, at.micro_batches, 1, 1.0, 1.0, 1.0};
    add_bubble(table, least, at.min_idle, "V-Min");
    add_peak(table, least, at.min_peak, 0.5, "V-Min, about p/3 and 1 to 2 more");
    add_bubble(table, half, at.half_idle, "V-Half");
    add_peak(table, half, at.half_peak, 0.5, "V-Half, p/2+1");
  }
  return table;
}

}  // namespace collie
