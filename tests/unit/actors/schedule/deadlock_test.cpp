#define BOOST_TEST_MODULE schedule_deadlock
#include <algorithm>
#include <random>

#include "actors/schedule/event_graph.hpp"
#include "actors/schedule/lowering.hpp"
#include "tests/unit/actors/schedule/generated.hpp"
#include "tests/unit/actors/schedule/token_walk.hpp"
#include "tests/unit/actors/schedule/violations.hpp"

using namespace collie;

namespace {

constexpr int deadlock = -1;

// Two ranks that greet each other: each sends before it receives. Not training; only messages.
Schedule crossing(int messages) {
  Schedule schedule{.name = "crossing",
                    .placement = Placement::bidirectional(2),
                    .micro_batches = 2 * messages,
                    .programs = {{}, {}}};
  const auto add = [&](int rank, int stage, int mb, int direction) {
    schedule.programs[static_cast<std::size_t>(rank)].push_back(
        {.verb = Verb::forward,
         .stage = stage,
         .micro_batch = mb,
         .direction = static_cast<signed char>(direction)});
  };
  for (const int stage : {0, 1}) {
    for (int i = 0; i < messages; ++i) add(stage == 0 ? 0 : 1, stage, 2 * i, 0);
    for (int i = 0; i < messages; ++i) add(stage == 0 ? 1 : 0, stage, 2 * i + 1, 1);
  }
  return schedule;
}

void check_picture(const std::string& picture, int ranks) {
  BOOST_CHECK_EQUAL(std::ranges::count(picture, '\n'), ranks);
  BOOST_CHECK_EQUAL(std::ranges::count(picture, '['), ranks);
}

}  // namespace

// Credits that the schedules need, on 4 ranks with 8 micro-batches and on 8 with 24, of
// tagged mailboxes and of FIFO channels: figures of an independent simulator.
BOOST_AUTO_TEST_CASE(credits_are_those_of_the_table) {
  struct Row {
    std::string_view name;
    int chunks;
    int tagged[2], fifo[2];
  };
  for (const Row& row : std::initializer_list<Row>{
           {"gpipe", 0, {0, 0}, {0, 0}},
           {"1f1b", 0, {1, 1}, {1, 1}},
           {"zb-h1", 0, {1, 1}, {1, 1}},
           {"zb-h2", 0, {1, 1}, {1, 1}},
           {"interleaved", 2, {1, 1}, {1, 1}},
           {"interleaved", 4, {1, 1}, {1, 1}},
           {"chimera", 0, {1, 1}, {1, 1}},
           {"looped-bfs", 2, {2, 3}, {2, 3}},
           {"zbv", 0, {2, 2}, {deadlock, deadlock}},
           {"dualpipev", 0, {2, 2}, {deadlock, deadlock}},
           {"dualpipe", 0, {2, 2}, {2, deadlock}},
       }) {
    for (const int i : {0, 1}) {
      const int ranks = i == 0 ? 4 : 8;
      const Validation validation = validate(generated(
          row.name, {.ranks = ranks, .micro_batches = i == 0 ? 8 : 24, .chunks = row.chunks}));
      BOOST_TEST_CONTEXT(row.name << " chunks " << row.chunks << " p " << ranks) {
        BOOST_CHECK_EQUAL(validation.minimum_credit_tagged, row.tagged[i]);
        BOOST_CHECK_EQUAL(validation.minimum_credit_fifo, row.fifo[i]);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(too_little_credit_is_refused_with_the_cycle) {
  Schedule schedule = generated("1f1b", 2, 4);
  schedule.channel = {ChannelKind::rendezvous, 0};
  check_violates(
      schedule, Invariant::deadlock,
      {"deadlock with rendezvous: rank 0 waits at 0SEND_F1 for rank 1's 1RECV_F1, rank 1 "
       "waits at 1SEND_B0 for rank 0's 0RECV_B0",
       "tagged mailboxes of credit 1 are enough"});
  BOOST_CHECK_EQUAL(validate(schedule).violations[0].picture,
                    "rank 0    0F0 0SEND_F0 0F1 [0SEND_F1] 0RECV_B0  <- rank 1 waits for this\n"
                    "rank 1    1RECV_F0 1F0 1B0 [1SEND_B0] 1RECV_F1  <- rank 0 waits for this\n");
  schedule.channel = {ChannelKind::tagged, 1};
  check_valid(schedule);
  schedule = generated("zbv", 4, 8);
  schedule.channel.credit = 1;
  check_violates(schedule, Invariant::deadlock, {"takes one of 1 messages", "credit 2 are enough"});
}

BOOST_AUTO_TEST_CASE(a_cycle_no_credit_can_break_is_refused) {
  Schedule schedule = generated("gpipe", 2, 2);
  // Rank 0 wants the gradient of micro-batch 0 before it makes what rank 1 wants before that.
  schedule.programs[0] = {{Verb::forward, 0, 0},
                          {Verb::backward, 0, 0},
                          {Verb::forward, 0, 1},
                          {Verb::backward, 0, 1},
                          {Verb::step, 0}};
  check_violates(schedule, Invariant::deadlock,
                 {"deadlock with any channel", "rank 0 waits at 0RECV_B0 for rank 1's 1SEND_B0",
                  "rank 1 waits at 1RECV_F1 for rank 0's 0SEND_F1", "order has to change"});
  const Validation validation = validate(schedule);
  BOOST_CHECK_EQUAL(validation.minimum_credit_tagged, deadlock);
  BOOST_CHECK_EQUAL(validation.minimum_credit_fifo, deadlock);
  check_picture(validation.violations[0].picture, 2);
}

BOOST_AUTO_TEST_CASE(fifo_channels_need_the_order_of_the_sender) {
  Schedule schedule = generated("zbv", 4, 8);
  schedule.channel = {ChannelKind::fifo, 100};
  check_violates(schedule, Invariant::deadlock,
                 {"deadlock with FIFO channels of any depth", "ahead of it in the channel",
                  "tagged mailboxes"});
  schedule.channel.kind = ChannelKind::tagged;
  check_valid(schedule);
}

// Each rank sends n messages before it takes any: n is the credit, and one less is a deadlock.
BOOST_AUTO_TEST_CASE(the_minimum_credit_is_found) {
  for (const int messages : {1, 2, 3, 7, 64, 100}) {
    const Schedule schedule = lower(crossing(messages));
    const EventGraph graph(schedule);
    BOOST_CHECK_EQUAL(graph.minimum_credit(), messages);
    BOOST_TEST(graph.completes(messages));
    BOOST_TEST(!graph.completes(messages - 1));
  }
}

BOOST_AUTO_TEST_CASE(a_fence_holds_all_ranks) {
  Schedule schedule = generated("gpipe", 3, 2);
  for (auto& program : schedule.programs)
    program.insert(program.begin() + 2, {.verb = Verb::fence});
  check_valid(schedule);
  // Before the fence rank 0 wants what rank 1 makes behind it.
  std::swap(schedule.programs[0][2], schedule.programs[0][3]);
  check_violates(schedule, Invariant::deadlock, {"FENCE", "0RECV_B0", "no credit helps"});
}

// Valid schedules with one random change, against an independent execution on tokens: what that
// says about messages, order and completeness is what the validator says.
BOOST_AUTO_TEST_CASE(mutations_never_pass_unless_tokens_say_so) {
  std::mt19937 random(20240611);
  const auto below = [&](std::size_t end) { return std::size_t{random()} % end; };
  int refused = 0;
  int accepted = 0;
  for (int round = 0; round < 3000; ++round) {
    constexpr std::string_view names[] = {"gpipe",  "1f1b",    "interleaved", "looped-bfs",
                                          "zb-h1",  "zb-h2",   "zbv",         "chimera",
                                          "hanayo", "seq1f1b", "dualpipe"};
    const int ranks = 2 * (1 + static_cast<int>(below(2)));
    Schedule schedule = generated(names[below(std::size(names))], ranks, 2 * ranks);
    schedule.channel.credit = static_cast<int>(below(4));
    auto& program = schedule.programs[below(schedule.programs.size())];
    auto& other = schedule.programs[below(schedule.programs.size())];
    // STEPs stay at the end, where they are: tokens know nothing of them.
    const auto work = [](const std::vector<Action>& list) {
      return static_cast<std::size_t>(std::ranges::find(list, Verb::step, &Action::verb) -
                                      list.begin());
    };
    const std::size_t i = below(work(program));
    const std::size_t j = std::min(work(program) - 1, i + below(4));
    const auto at = [](auto& list, std::size_t k) {
      return list.begin() + static_cast<std::ptrdiff_t>(k);
    };
    const Action action = program[i];
    const std::size_t kind = below(5);
    if (kind == 0) std::swap(program[i], program[j]);
    if (kind == 1) program.erase(at(program, i));
    if (kind == 2) program.insert(at(program, j), action);
    if (kind == 3) {
      program.erase(at(program, i));
      other.insert(at(other, below(work(other) + 1)), action);
    }
    for (auto& list : schedule.programs) {
      for (Action& a : list) a.overlaps_next = false;
    }
    const Validation validation = validate(schedule);
    const bool is_structural = std::ranges::any_of(validation.violations, [](const Violation& v) {
      return v.invariant <= Invariant::deadlock;
    });
    const std::string problem = TokenWalk(schedule).problem();
    BOOST_TEST(problem.empty() == !is_structural,
               fmt::format("{} credit {} round {}: tokens '{}', validator '{}'\n{}", schedule.name,
                           schedule.channel.credit, round, problem, names_of(validation),
                           print_programs(schedule)));
    ++(is_structural ? refused : accepted);
  }
  BOOST_TEST(refused > 500);
  BOOST_TEST(accepted > 500);
}
