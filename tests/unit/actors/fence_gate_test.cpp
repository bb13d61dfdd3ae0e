#define BOOST_TEST_MODULE fence_gate
#include "actors/protocol/fence_gate.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/protocol_script.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

Contribution from(int rank, std::uint32_t fence, std::uint32_t round = 1) {
  return {{1, 0, round, 0}, Purpose::fence, fence, rank, Tensor()};
}

}  // namespace

BOOST_AUTO_TEST_CASE(all_ranks_come_to_a_fence_before_one_passes) {
  FenceGate gate({Purpose::fence, {{0, 0, 0}, {0, 1, 0}, {0, 2, 0}}, 1});
  Inbox inbox(1, 0);
  inbox.begin_round(1);
  Commands out;
  const Stamp stamp{1, 0, 1, 0};
  BOOST_CHECK(!gate.may_pass(stamp, inbox, out));
  BOOST_CHECK_EQUAL(told(out), "contribution fence 0.0 -> 0.0.0, contribution fence 0.0 -> 0.2.0");
  BOOST_CHECK(gate.is_waiting());
  inbox.accept(from(2, 0));
  inbox.accept(from(2, 1));  // of the next one: it does not count here
  BOOST_CHECK(!gate.may_pass(stamp, inbox, out));
  BOOST_CHECK_EQUAL(told(out), "");
  inbox.accept(from(0, 0));
  BOOST_CHECK(gate.may_pass(stamp, inbox, out));
  BOOST_CHECK(!gate.is_waiting());
  // The next FENCE is another one.
  BOOST_CHECK(!gate.may_pass(stamp, inbox, out));
  BOOST_CHECK_EQUAL(told(out), "contribution fence 0.1 -> 0.0.0, contribution fence 0.1 -> 0.2.0");
  BOOST_CHECK_EQUAL(gate.describe(), "FENCE 2");
  inbox.accept(from(0, 1));
  BOOST_CHECK(gate.may_pass(stamp, inbox, out));
  BOOST_CHECK_EQUAL(inbox.size(), 0U);
}

BOOST_AUTO_TEST_CASE(a_round_begins_at_its_first_fence) {
  FenceGate gate({Purpose::fence, {{0, 0, 0}, {0, 1, 0}}, 0});
  Inbox inbox(1, 0);
  inbox.begin_round(1);
  Commands out;
  BOOST_CHECK(!gate.may_pass({1, 0, 1, 0}, inbox, out));
  told(out);
  gate.begin_round();  // the round was given up while it waited
  inbox.begin_round(2);
  BOOST_CHECK(!gate.may_pass({1, 0, 2, 0}, inbox, out));
  BOOST_CHECK_EQUAL(told(out), "contribution fence 0.0 -> 0.1.0");
  inbox.accept(from(1, 0, 2));
  BOOST_CHECK(gate.may_pass({1, 0, 2, 0}, inbox, out));
}

BOOST_AUTO_TEST_CASE(one_rank_waits_for_nobody) {
  FenceGate gate({Purpose::fence, {{0, 0, 0}}, 0});
  Inbox inbox(1, 0);
  Commands out;
  BOOST_CHECK(gate.may_pass({1, 0, 1, 0}, inbox, out));
  BOOST_CHECK(out.empty());
}
