// ZeRO-3 where values are copied, as between machines: the same bits as where they are read in
// place, no more rooms than allowed, and copies beside the arithmetic, by a clock that is given.
#define BOOST_TEST_MODULE zero_prefetch
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "actors/timed_world.hpp"
#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

struct Case {
  const char* name;
  TinyRun run;
};

std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << one.name;
}

const std::vector<Case> cases = {
    {"two replicas", {.grid = {2, 1, 1}}},
    {"stages, tied", {.grid = {2, 1, 2}, .tied = true}},
    {"tensor shards", {.grid = {3, 2, 1}, .family = "gpt2"}},
    {"bfloat16", {.grid = {2, 1, 2}, .dtype = DType::bf16}},
    {"zero bubble", {.grid = {2, 2, 2}, .schedule = "zb-h1"}},
    {"V placement", {.grid = {2, 1, 2}, .schedule = "zbv"}},
    {"recomputed", {.grid = {2, 1, 2}, .recompute = Recompute::full}},
};

TinyRun with_copies(TinyRun run, int prefetch) {
  run.zero = 3;
  run.zero_copies = true;
  run.zero_prefetch = prefetch;
  return run;
}

}  // namespace

BOOST_DATA_TEST_CASE(copies_train_the_bits_of_what_is_read_in_place, data::make(cases), one) {
  TinyRun in_place = one.run;
  in_place.zero = 3;
  const TinyOutcome expected = simulate(in_place, 1, 4);
  for (const int prefetch : {0, 1, 3}) {
    const TinyOutcome copied = simulate(with_copies(one.run, prefetch), 2, 4);
    BOOST_TEST(copied.losses == expected.losses);
    BOOST_TEST(copied.hash == expected.hash);
  }
}

BOOST_AUTO_TEST_CASE(no_order_of_messages_changes_what_copies_train) {
  const TinyRun run = with_copies({.grid = {3, 1, 2}}, 2);
  const std::uint64_t expected = simulate(run, 0, 2).hash;
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    TinyGrid grid(run);
    auto world =
        make_simulated_world(grid.options(), grid.executors(),
                             {.seed = seed, .duplicate_probability = 0.3, .reorder = true});
    BOOST_REQUIRE_EQUAL(train(*world, grid, 2).hash, expected);
  }
}

BOOST_AUTO_TEST_CASE(actors_that_copy_train_what_the_simulation_does) {
  TinyRun run = with_copies({.grid = {2, 1, 2}}, 2);
  const std::uint64_t expected = simulate(run, 0, 5).hash;
  run.inline_streams = false;
  TinyGrid grid(run);
  auto world = make_local_world(grid.options(), grid.executors(), 2);
  BOOST_TEST(train(*world, grid, 5).hash == expected);
}

namespace {

RoundRequest evaluation_of(int micro_batches) {
  RoundRequest request;
  request.mode = Mode::evaluate;
  request.micro_batches = micro_batches;
  return request;
}

// Peaks of replica 0 while forwards run, which make nothing that grows with their number.
std::size_t peak_of(const TinyRun& run, std::uint64_t seed) {
  TinyGrid grid(run);
  auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = seed});
  Allocator& memory = grid.executors().front()->stream().allocator();
  BOOST_REQUIRE(world->round(evaluation_of(1)).ok());
  memory.reset_peak();
  BOOST_REQUIRE(world->round(evaluation_of(3)).ok());
  return memory.use().peak_bytes;
}

std::size_t largest_room(const TinyRun& run) {
  TinyGrid grid(run);
  const Executors executors = grid.executors();
  const ValueLayout other = executors.back()->value_layout();
  std::size_t most = 0;
  for (const auto& segment : other.segments) {
    std::size_t bytes = 0;
    for (const ValueUnit& unit : segment) bytes += unit.own ? unit.own.size_bytes() : 0;
    most = std::max(most, bytes);
  }
  return most;
}

}  // namespace

BOOST_AUTO_TEST_CASE(rooms_are_those_of_the_present_segment_and_the_next_ones) {
  TinyRun run{.grid = {2, 1, 1}, .layers = 12, .zero = 3};
  const std::size_t room = largest_room(run);
  std::vector<std::size_t> extra;
  for (const int prefetch : {0, 1, 2, 4}) {
    std::size_t most = 0;
    for (std::uint64_t seed = 1; seed < 6; ++seed) {
      const std::size_t in_place = peak_of(run, seed);
      const std::size_t copied = peak_of(with_copies(run, prefetch), seed);
      BOOST_TEST(copied > in_place);
      most = std::max(most, copied - in_place);
    }
    fmt::print("prefetch {}: {} bytes of rooms, a segment's largest {}\n", prefetch, most, room);
    BOOST_TEST(most <= static_cast<std::size_t>(prefetch + 1) * room);
    extra.push_back(most);
  }
  BOOST_TEST(extra[1] > extra[0]);
  BOOST_TEST(extra[3] > 2 * extra[0]);
}

namespace {

constexpr double compute_s = 1.0;

struct Times {
  double evaluation_s = 0.0;
  double expected_s = 0.0;
};

// One use after the other, on two lanes: a copy begins when it was asked for and the copy before it
// is done, a segment when its values are there and the one before it is done.
double expected_time(const ValueLayout& layout, int replica, int prefetch, double copy_s) {
  std::vector<double> begins;
  double computes_s = 0.0, copies_s = 0.0;
  std::size_t asked = 0;
  std::vector<double> there(layout.segments.size(), 0.0);
  const auto ask_to = [&](std::size_t end, double now_s) {
    for (; asked < std::min(end, there.size()); ++asked) {
      const std::vector<int>& owners = layout.segments[asked].front().owners;
      const bool is_own = owners.size() == 1 && owners.front() == replica;
      if (is_own) continue;
      there[asked] = copies_s = std::max(now_s, copies_s) + copy_s;
    }
  };
  ask_to(static_cast<std::size_t>(prefetch), 0.0);
  for (std::size_t use = 0; use < there.size(); ++use) {
    ask_to(use + static_cast<std::size_t>(prefetch) + 1, computes_s);
    computes_s = std::max(computes_s, there[use]) + compute_s;
  }
  return computes_s;
}

Times time_of_evaluation(int prefetch, double copy_s) {
  TinyGrid grid(with_copies({.grid = {2, 1, 1}, .layers = 8}, prefetch));
  const auto seconds = [copy_s](const Work& work) {
    if (work.kind == WorkKind::fetch) return copy_s;
    return work.kind == WorkKind::resume ? compute_s : 0.0;  // a piece is a segment
  };
  const auto world = make_timed_world(grid.options(), grid.executors(), {seconds});
  const double begin_s = world->now_s();
  BOOST_REQUIRE(world->round(evaluation_of(1)).ok());
  Times times{world->now_s() - begin_s, 0.0};
  for (int replica = 0; replica < 2; ++replica) {
    const ValueLayout layout = grid.executors()[static_cast<std::size_t>(replica)]->value_layout();
    times.expected_s = std::max(times.expected_s, expected_time(layout, replica, prefetch, copy_s));
  }
  return times;
}

}  // namespace

BOOST_AUTO_TEST_CASE(copies_go_on_while_segments_compute) {
  constexpr double segments = 2 * 8 + 2;
  for (const double copy_s : {0.5, 1.0, 4.0}) {
    for (const int prefetch : {0, 1, 2, 5}) {
      const Times times = time_of_evaluation(prefetch, copy_s);
      fmt::print("copy {} s, prefetch {}: {} s\n", copy_s, prefetch, times.evaluation_s);
      BOOST_TEST(times.evaluation_s == times.expected_s);
    }
  }
  // A copy that takes no longer than a segment is hidden but for a first one.
  BOOST_TEST(time_of_evaluation(0, 1.0).evaluation_s >= segments + 8);
  BOOST_TEST(time_of_evaluation(1, 1.0).evaluation_s <= segments + 1);
}
