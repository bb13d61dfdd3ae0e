#define BOOST_TEST_MODULE generators
#include "actors/schedule/generators.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/unit/actors/schedule/generated.hpp"
#include "tests/unit/actors/schedule/in_order.hpp"

using namespace collie;

namespace {

const std::string goldens_dir = std::string(COLLIE_TESTS_DIR) + "/goldens/schedules/";

struct GoldenName {
  std::string_view golden;
  std::string_view generator;
  int chunks;
};
const std::vector<GoldenName> golden_names = {
    {"GPipe", "gpipe", 0},
    {"1F1B", "1f1b", 0},
    {"Interleaved1F1B_v2", "interleaved", 2},
    {"Interleaved1F1B_v4", "interleaved", 4},
    {"LoopedBFS_v2", "looped-bfs", 2},
    {"ZB-H1", "zb-h1", 0},
    {"ZB-H2", "zb-h2", 0},
    {"InterleavedZB1P_v2", "interleaved-zb", 2},
    {"ZBV_handcrafted", "zbv", 0},
    {"DualPipeV", "dualpipev", 0},
};

Schedule golden_schedule(std::string_view golden, int ranks, int micro_batches) {
  const auto found = std::ranges::find(golden_names, golden, &GoldenName::golden);
  BOOST_REQUIRE_MESSAGE(found != golden_names.end(), "no generator makes " << golden);
  return generated(found->generator,
                   {.ranks = ranks, .micro_batches = micro_batches, .chunks = found->chunks});
}

// A rank's program as torch.distributed.pipelining writes it, without STEP.
std::string torch_row(const std::vector<Action>& program) {
  std::string row;
  bool is_pair = false;
  for (const Action& action : program) {
    if (action.verb == Verb::step) continue;
    if (!row.empty()) row += is_pair ? ";" : ",";
    row += (action.overlaps_next ? "(" : "") + to_string(action) + (is_pair ? ")OVERLAP_F_B" : "");
    is_pair = action.overlaps_next;
  }
  return row;
}

ClockTimes clocked(const Schedule& schedule, double forward, double input, double weight) {
  const ClockTimes times = InOrderClock(schedule, forward, input, weight).run();
  BOOST_REQUIRE_MESSAGE(times.finished, schedule.name << " deadlocks");
  return times;
}

// Makespan less the work of a rank, in the time of F, where F, I and W take the same.
double idle(const Schedule& schedule) {
  const double stages_per_rank = schedule.placement.chunks(0) / schedule.placement.directions();
  return clocked(schedule, 1, 1, 1).makespan - 3 * stages_per_rank * schedule.micro_batches;
}

double bubble_rate(const Schedule& schedule, double input) {
  const double makespan = clocked(schedule, 1, input, 1).makespan;
  const double stages_per_rank = schedule.placement.chunks(0) / schedule.placement.directions();
  return 1.0 - (2 + input) * stages_per_rank * schedule.micro_batches / makespan;
}

int highest_peak(const Schedule& schedule) {
  int peak = 0;
  for (int rank = 0; rank < schedule.ranks(); ++rank) {
    peak = std::max(peak, peak_in_flight(schedule, rank));
  }
  return peak;
}

}  // namespace

BOOST_AUTO_TEST_CASE(programs_are_the_golden_ones_cell_for_cell) {
  for (const GoldenName& name : golden_names) {
    const std::string path = goldens_dir + std::string(name.golden) + "_p4_m8.csv";
    std::ifstream file(path);
    BOOST_REQUIRE_MESSAGE(file, path);
    const Schedule schedule = golden_schedule(name.golden, 4, 8);
    std::string row;
    std::size_t rank = 0;
    for (; std::getline(file, row); ++rank) {
      BOOST_REQUIRE_LT(rank, 4);
      BOOST_CHECK_EQUAL(torch_row(schedule.programs[rank]), row);
    }
    BOOST_CHECK_EQUAL(rank, 4);
  }
}

// Programs that PyTorch made; where its last group is not whole it spreads the micro-batches over
// as many groups as there are whole ones.
BOOST_AUTO_TEST_CASE(programs_are_those_of_torch_for_other_sizes) {
  std::ifstream file(goldens_dir + "torch_programs.json");
  BOOST_REQUIRE(file);
  const nlohmann::json rows = nlohmann::json::parse(file);
  BOOST_CHECK_EQUAL(rows.size(), 11);
  for (const nlohmann::json& row : rows) {
    const std::string name = row["generator"];
    ScheduleOptions options{.ranks = row["ranks"], .micro_batches = row["micro_batches"]};
    if (row["chunks"] > 1) options.chunks = row["chunks"];
    if (name.starts_with("interleaved")) {
      options.group = options.micro_batches / std::max(1, options.micro_batches / options.ranks);
    }
    const Schedule schedule = generated(name, options);
    BOOST_TEST_CONTEXT(name << " of " << options.ranks << ", " << options.micro_batches) {
      BOOST_REQUIRE_EQUAL(row["programs"].size(), schedule.programs.size());
      for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
        BOOST_CHECK_EQUAL(torch_row(schedule.programs[rank]),
                          row["programs"][rank].get<std::string>());
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(times_and_peaks_are_the_golden_ones) {
  std::ifstream file(goldens_dir + "goldens.json");
  BOOST_REQUIRE(file);
  const nlohmann::json rows = nlohmann::json::parse(file);
  BOOST_CHECK_EQUAL(rows.size(), 90);
  for (const nlohmann::json& row : rows) {
    const Schedule schedule = golden_schedule(row["schedule"].get<std::string>(),
                                              row["p"].get<int>(), row["m"].get<int>());
    const double forward = row["tF"].get<double>();
    const double input = row["tI"].get<double>();
    const double weight = row["tW"].get<double>();
    const ClockTimes times = clocked(schedule, forward, input, weight);
    const double work = row["chunks"].get<int>() * row["m"].get<int>() * (forward + input + weight);
    BOOST_TEST_CONTEXT(row.dump()) {
      BOOST_CHECK_EQUAL(times.makespan, row["makespan"].get<double>());
      BOOST_CHECK_EQUAL(times.longest_span, row["max_stage_span"].get<double>());
      BOOST_CHECK_EQUAL(times.makespan - work, row["idle_makespan"].get<double>());
      BOOST_CHECK_EQUAL(times.longest_span - work, row["idle_span"].get<double>());
      for (int rank = 0; rank < schedule.ranks(); ++rank) {
        BOOST_CHECK_EQUAL(peak_in_flight(schedule, rank) / row["chunks"].get<double>(),
                          row["peak_act_in_stage_units"][static_cast<std::size_t>(rank)]);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(idle_times_are_those_of_eight_ranks_and_24_micro_batches) {
  BOOST_CHECK_EQUAL(idle(generated("gpipe", 8, 24)), 21);
  BOOST_CHECK_EQUAL(idle(generated("zb-h1", 8, 24)), 7);
  BOOST_CHECK_EQUAL(idle(generated("zb-h2", 8, 24)), 7);
  BOOST_CHECK_EQUAL(idle(generated("zbv", 8, 24)), 7);
  BOOST_CHECK_EQUAL(idle(generated("dualpipev", 8, 24)), 14);
  BOOST_CHECK_EQUAL(highest_peak(generated("zb-h2", 8, 24)), 15);
}

BOOST_AUTO_TEST_CASE(dual_pipe_has_the_bubble_and_memory_of_its_readme) {
  // (p/2 - 1)(F&B + B - 3W) with F&B = F + B, and p + 1 activations on every rank.
  for (const auto& [ranks, micro_batches, bubble] :
       {std::tuple{2, 4, 0}, {4, 8, 2}, {4, 20, 2}, {8, 16, 6}, {8, 24, 6}, {16, 32, 14}}) {
    const Schedule schedule = generated("dualpipe", ranks, micro_batches);
    BOOST_CHECK_EQUAL(idle(schedule), bubble);
    for (int rank = 0; rank < ranks; ++rank) {
      BOOST_CHECK_EQUAL(peak_in_flight(schedule, rank), ranks + 1);
    }
  }
  // DualPipeV on p ranks is DualPipe on 2p.
  for (const auto& [ranks, bubble] : {std::pair{2, 2}, {4, 6}, {8, 14}}) {
    const Schedule schedule = generated("dualpipev", ranks, 3 * ranks);
    BOOST_CHECK_EQUAL(idle(schedule), bubble);
    for (int rank = 0; rank < ranks; ++rank) {
      BOOST_CHECK_EQUAL(peak_in_flight(schedule, rank), 2 * ranks + 1);
    }
  }
}

BOOST_AUTO_TEST_CASE(dual_pipe_without_fusing_a_pair_has_a_smaller_bubble) {
  Schedule schedule = generated("dualpipe", 8, 16);
  for (auto& program : schedule.programs) {
    for (Action& action : program) action.overlaps_next = false;
  }
  BOOST_CHECK_EQUAL(idle(schedule), 3);
}

BOOST_AUTO_TEST_CASE(chimera_has_the_bubble_and_memory_of_its_paper) {
  for (const auto& [ranks, micro_batches] :
       {std::pair{2, 2}, {4, 4}, {4, 8}, {8, 8}, {8, 32}, {16, 48}}) {
    const Schedule schedule = generated("chimera", ranks, micro_batches);
    // F and B of the same time: (D - 2) / (2N + D - 2).
    const double makespan = clocked(schedule, 1, 1, 0).makespan;
    BOOST_CHECK_EQUAL(makespan, 2 * micro_batches + ranks - 2);
    for (int rank = 0; rank < ranks; ++rank) {
      BOOST_CHECK_GE(peak_in_flight(schedule, rank), ranks / 2 + (micro_batches > 2 ? 1 : 0));
      BOOST_CHECK_LE(peak_in_flight(schedule, rank), ranks);
    }
  }
  // B of twice the time: (D - 2) / (3N/2 + D - 2) at N = D, and middle bubbles beyond.
  BOOST_CHECK_CLOSE(bubble_rate(generated("chimera", 8, 8), 1), 6.0 / 18.0, 1e-9);
  BOOST_CHECK_CLOSE(bubble_rate(generated("chimera", 8, 32), 1), 0.238, 0.1);
}

BOOST_AUTO_TEST_CASE(hanayo_has_the_bubble_of_its_waves) {
  for (const auto& [ranks, waves, percent] : {std::tuple{4, 1, 33.3},
                                              {4, 2, 21.3},
                                              {4, 4, 11.9},
                                              {8, 1, 36.8},
                                              {8, 2, 23.8},
                                              {8, 4, 13.5}}) {
    const Schedule schedule =
        generated("hanayo", {.ranks = ranks, .micro_batches = ranks, .chunks = 2 * waves});
    BOOST_CHECK_SMALL(100 * bubble_rate(schedule, 1) - percent, 0.05);
  }
  // No more memory for more micro-batches.
  const Schedule longer = generated("hanayo", {.ranks = 8, .micro_batches = 64, .chunks = 4});
  BOOST_CHECK_LE(highest_peak(longer), 4 * 2 * 8);
}

BOOST_AUTO_TEST_CASE(seq1f1b_holds_a_slice_where_1f1b_holds_a_micro_batch) {
  const Schedule whole = generated("seq1f1b", 4, 8);
  BOOST_CHECK(whole.programs == generated("1f1b", 4, 8).programs);
  const Schedule cut = generated("seq1f1b", {.ranks = 4, .micro_batches = 8, .slices = 4});
  for (int rank = 0; rank < 4; ++rank) {
    BOOST_CHECK_EQUAL(peak_in_flight(cut, rank), 4 - rank + 3);
  }
  // The bubble shrinks with the slices: (p - 1) slices instead of micro-batches of F, I and W.
  BOOST_CHECK_EQUAL(clocked(cut, 1, 1, 1).makespan - 3 * 4 * 8, 9);
  BOOST_CHECK_EQUAL(torch_row(cut.programs[3]).substr(0, 72),
                    "3F0,3F0.1,3F0.2,3F0.3,3B0.3,3F1,3B0.2,3F1.1,3B0.1,3F1.2,3B0,3F1.3,3B1.3,");
}
