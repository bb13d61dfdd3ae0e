#define BOOST_TEST_MODULE version_uses
#include "actors/protocol/version_uses.hpp"

#include <boost/test/unit_test.hpp>

#include "actors/schedule/text_format.hpp"

using namespace collie;

namespace {

Schedule parsed(const std::string& versions, const std::string& program) {
  return parse_schedule(
             "schedule 1\nname t\nranks 1\nplacement looped 2\nmicro-batches 2\n" + versions +
                 " step-every=1\ncontract staleness=1 mismatch=1 versions=2\nrank 0:\n" + program,
             "t")
      .value();
}

// "0F0=0" reads version 0; ! is its last reader, * keeps it, ~ is a prediction from it.
std::string told(const Schedule& schedule) {
  const std::vector<Action>& program = schedule.programs[0];
  const std::vector<VersionUse> uses = version_uses(schedule, program);
  std::string text;
  for (std::size_t at = 0; at < program.size(); ++at) {
    text += (at == 0 ? "" : " ") + to_string(program[at]) + "=" + std::to_string(uses[at].version);
    if (uses[at].is_last) text += "!";
    if (uses[at].keeps) text += "*";
    if (uses[at].is_predicted) text += "~";
  }
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_stage_of_a_rank_counts_its_own) {
  const Schedule schedule =
      parsed("versions forward=latest backward=stashed",
             "0F0 0F1 1F0 1B0 STEP1 FENCE 1F1 1B1 STEP1 0B0 STEP0 0R1 0B1 STEP0");
  BOOST_CHECK_EQUAL(told(schedule),
                    "0F0=0 0F1=0 1F0=0 1B0=0! STEP1=0 FENCE=0 1F1=1 1B1=1! STEP1=1 0B0=0 STEP0=0* "
                    "0R1=0 0B1=0! STEP0=1");
}

BOOST_AUTO_TEST_CASE(a_prediction_is_of_the_version_where_it_was_made) {
  const Schedule schedule =
      parsed("versions forward=predicted backward=latest correction=pipe-optim",
             "PREDICT0 0F0 1F0 1B0 STEP1 0B0 STEP0 0F1 1F1 1B1 STEP1 0B1 STEP0");
  BOOST_CHECK_EQUAL(told(schedule),
                    "PREDICT0=0 0F0=0~ 1F0=0 1B0=0! STEP1=0 0B0=0! STEP0=0 0F1=0~ 1F1=1 1B1=1! "
                    "STEP1=1 0B1=1! STEP0=1");
}
