// What no generator can do is refused with a sentence.
#define BOOST_TEST_MODULE generators_errors
#include <boost/test/unit_test.hpp>
#include <set>

#include "actors/schedule/generators.hpp"

using namespace collie;

namespace {

void check_refused(std::string_view name, const ScheduleOptions& options,
                   std::string_view sentence) {
  const Result<Schedule> schedule = make_schedule(name, options);
  BOOST_REQUIRE_MESSAGE(!schedule.ok(), name << " was made; expected: " << sentence);
  BOOST_CHECK(schedule.error().code == ErrorCode::invalid_config);
  BOOST_CHECK_EQUAL(schedule.error().message, sentence);
}

}  // namespace

BOOST_AUTO_TEST_CASE(unknown_names_suggest_the_nearest) {
  const Result<Schedule> schedule = make_schedule("dualpip", {.ranks = 2, .micro_batches = 4});
  BOOST_REQUIRE(!schedule.ok());
  const std::string_view message = schedule.error().message;
  BOOST_CHECK_MESSAGE(
      message.starts_with("no schedule named 'dualpip'; did you mean 'dualpipe'?; known: gpipe, "),
      message);
  BOOST_CHECK(make_schedule("a\nb", {}).error().message.find('\n') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(names_are_unique_and_every_entry_is_filled) {
  std::set<std::string_view> names;
  for (const ScheduleGenerator& generator : schedule_generators()) {
    BOOST_CHECK(names.insert(generator.name).second);
    BOOST_CHECK(!generator.title.empty() && !generator.source.empty());
    BOOST_CHECK(generator.generate != nullptr);
  }
}

BOOST_AUTO_TEST_CASE(bounds_are_checked_before_anything_is_made) {
  const int huge = 2'000'000'000;
  check_refused("gpipe", {.ranks = 0, .micro_batches = 4},
                "schedule: ranks is 0; it must be from 1 to 16384");
  check_refused("gpipe", {.ranks = huge, .micro_batches = 4},
                "schedule: ranks is 2000000000; it must be from 1 to 16384");
  check_refused("gpipe", {.ranks = 4, .micro_batches = 0},
                "schedule: micro_batches is 0; it must be from 1 to 65536");
  check_refused("interleaved", {.ranks = 4, .micro_batches = 4, .chunks = -1},
                "schedule: chunks is -1; it must be from 0 to 65536");
  check_refused("interleaved", {.ranks = 4, .micro_batches = 4, .group = huge},
                "schedule: group is 2000000000; it must be from 0 to 65536");
  check_refused("seq1f1b", {.ranks = 4, .micro_batches = 4, .slices = 0},
                "schedule: slices is 0; it must be from 1 to 1024");
  check_refused("pipemare", {.ranks = 4, .micro_batches = 4, .warm_up_steps = -1},
                "schedule: warm_up_steps is -1; it must be from 0 to 65536");
  check_refused("interleaved", {.ranks = 16'384, .micro_batches = 4, .chunks = 5},
                "schedule: 16384 ranks x 5 chunks x 4 micro-batches x 1 slices are too many; at "
                "most 65536 stages and 20000000 units of work");
  check_refused("gpipe", {.ranks = 16'384, .micro_batches = 65'536},
                "schedule: 16384 ranks x 2 chunks x 65536 micro-batches x 1 slices are too many; "
                "at most 65536 stages and 20000000 units of work");
}

BOOST_AUTO_TEST_CASE(arguments_in_vain_are_named) {
  check_refused("1f1b", {.ranks = 4, .micro_batches = 8, .chunks = 2},
                "schedule 1f1b has 1 chunk per rank, not 2; leave chunks out");
  check_refused("zbv", {.ranks = 4, .micro_batches = 8, .chunks = 3},
                "schedule zbv has 2 chunks per rank, not 3; leave chunks out");
  check_refused("chimera", {.ranks = 4, .micro_batches = 8, .chunks = 4},
                "schedule chimera has 2 chunks per rank, not 4; leave chunks out");
  check_refused("zb-h1", {.ranks = 4, .micro_batches = 8, .group = 2},
                "schedule zb-h1 has no groups of micro-batches; leave group out");
  check_refused("pipedream-vsync", {.ranks = 4, .micro_batches = 8, .group = 2},
                "schedule pipedream-vsync has no groups of micro-batches; leave group out");
  check_refused("gpipe", {.ranks = 4, .micro_batches = 8, .slices = 2},
                "schedule gpipe does not cut micro-batches along the sequence; leave slices out or "
                "use seq1f1b");
  check_refused("pipedream", {.ranks = 4, .micro_batches = 8, .warm_up_steps = 1},
                "schedule pipedream has no synchronous warm-up; leave warm_up_steps out or use "
                "pipemare");
  BOOST_CHECK(make_schedule("zbv", {.ranks = 4, .micro_batches = 8, .chunks = 2}).ok());
}

BOOST_AUTO_TEST_CASE(every_generator_checks_what_it_takes) {
  for (const ScheduleGenerator& generator : schedule_generators()) {
    const ScheduleOptions options{.ranks = 2, .micro_batches = 8, .chunks = 7, .slices = 3};
    BOOST_CHECK_MESSAGE(!make_schedule(generator.name, options).ok(), generator.name);
  }
}

BOOST_AUTO_TEST_CASE(too_few_chunks_are_refused) {
  check_refused("interleaved", {.ranks = 4, .micro_batches = 8, .chunks = 1},
                "schedule interleaved needs at least 2 chunks per rank, not 1; 1f1b and zb-h1 are "
                "those of one");
  check_refused("interleaved-zb", {.ranks = 4, .micro_batches = 8, .chunks = 1},
                "schedule interleaved-zb needs at least 2 chunks per rank, not 1; 1f1b and zb-h1 "
                "are those of one");
  check_refused(
      "looped-bfs", {.ranks = 4, .micro_batches = 8, .chunks = 1},
      "schedule looped-bfs needs at least 2 chunks per rank, not 1; gpipe is that of one");
  check_refused("hanayo", {.ranks = 4, .micro_batches = 8, .chunks = 3},
                "schedule hanayo needs an even number of chunks per rank (two per wave), not 3");
}

BOOST_AUTO_TEST_CASE(what_two_directions_cannot_share_is_refused) {
  check_refused("dualpipe", {.ranks = 3, .micro_batches = 8},
                "schedule dualpipe runs in both directions and needs an even number of ranks, not "
                "3");
  check_refused(
      "chimera", {.ranks = 5, .micro_batches = 8},
      "schedule chimera runs in both directions and needs an even number of ranks, not 5");
  check_refused("dualpipe", {.ranks = 4, .micro_batches = 9},
                "schedule dualpipe gives each direction half of the micro-batches and needs an "
                "even number of them, not 9");
  check_refused(
      "dualpipe", {.ranks = 4, .micro_batches = 6},
      "schedule dualpipe on 4 ranks needs at least 8 micro-batches (two per rank), not 6");
  check_refused("dualpipev", {.ranks = 4, .micro_batches = 7},
                "schedule dualpipev on 4 ranks needs at least 8 micro-batches (two per rank), not "
                "7");
}

BOOST_AUTO_TEST_CASE(groups_that_cannot_work_are_refused) {
  check_refused("pipedream-2bw", {.ranks = 4, .micro_batches = 12, .group = 3},
                "schedule pipedream-2bw on 4 ranks needs groups of at least 4 micro-batches, not "
                "3, for two weight versions to suffice");
  check_refused("pipedream-2bw", {.ranks = 4, .micro_batches = 10},
                "schedule pipedream-2bw: 10 micro-batches are not whole groups of 4, one for each "
                "update; use a multiple");
  check_refused("paci", {.ranks = 4, .micro_batches = 7, .group = 2},
                "schedule paci: 7 micro-batches are not whole groups of 2, one for each update; "
                "use a multiple");
  check_refused("pipemare", {.ranks = 4, .micro_batches = 8, .group = 2, .warm_up_steps = 5},
                "schedule pipemare: 5 warm-up steps of 2 micro-batches are more than the 8 "
                "micro-batches there are");
}
