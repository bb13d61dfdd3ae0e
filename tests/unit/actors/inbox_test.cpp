// The inbox keeps what is early, takes everything once and drops what is stale.
#define BOOST_TEST_MODULE inbox
#include "actors/protocol/inbox.hpp"

#include <boost/test/unit_test.hpp>

using namespace collie;

namespace {

constexpr std::uint64_t run = 5;
constexpr std::uint32_t generation = 2;
using Verdict = Inbox::Verdict;

Stamp stamp(std::uint32_t round, std::uint32_t micro_batch = 0) {
  return {run, generation, round, micro_batch};
}

Message part(std::uint32_t round, Purpose purpose, std::uint32_t sequence, int rank) {
  return Contribution{stamp(round), purpose, sequence, rank, Tensor()};
}

Inbox inbox_in_round(std::uint32_t round) {
  Inbox inbox(run, generation);
  inbox.begin_round(round);
  return inbox;
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_early_message_waits_for_its_round) {
  Inbox inbox = inbox_in_round(1);
  BOOST_CHECK(inbox.accept(Activation{stamp(2, 3), Tensor()}) == Verdict::accepted);
  BOOST_CHECK(!inbox.has(activation_key(1, 3)));
  inbox.begin_round(2);
  BOOST_REQUIRE(inbox.has(activation_key(2, 3)));
  BOOST_CHECK_EQUAL(stamp_of(inbox.take(activation_key(2, 3))).micro_batch, 3U);
  BOOST_CHECK_EQUAL(inbox.size(), 0U);
}

BOOST_AUTO_TEST_CASE(a_duplicate_is_dropped_while_the_first_waits_and_after_it_was_taken) {
  Inbox inbox = inbox_in_round(1);
  const Gradient gradient{stamp(1), Tensor()};
  BOOST_CHECK(inbox.accept(gradient) == Verdict::accepted);
  BOOST_CHECK(inbox.accept(gradient) == Verdict::duplicate);
  inbox.take(gradient_key(1, 0));
  BOOST_CHECK(inbox.accept(gradient) == Verdict::duplicate);
  BOOST_CHECK(!inbox.has(gradient_key(1, 0)));
  BOOST_CHECK_EQUAL(inbox.duplicate_count(), 2U);
  BOOST_CHECK_EQUAL(inbox.stale_count(), 0U);
}

BOOST_AUTO_TEST_CASE(another_run_another_generation_and_a_past_round_are_stale) {
  Inbox inbox = inbox_in_round(4);
  BOOST_CHECK(inbox.accept(Tokens{{run + 1, generation, 4, 0}, {}}) == Verdict::stale);
  BOOST_CHECK(inbox.accept(Tokens{{run, generation - 1, 4, 0}, {}}) == Verdict::stale);
  BOOST_CHECK(inbox.accept(Tokens{{run, generation + 1, 4, 0}, {}}) == Verdict::stale);
  BOOST_CHECK(inbox.accept(Tokens{stamp(3), {}}) == Verdict::stale);
  BOOST_CHECK_EQUAL(inbox.stale_count(), 4U);
  BOOST_CHECK_EQUAL(inbox.size(), 0U);
}

BOOST_AUTO_TEST_CASE(what_a_finished_round_left_is_dropped_when_the_next_begins) {
  Inbox inbox = inbox_in_round(1);
  inbox.accept(Tokens{stamp(1), {}});
  inbox.accept(Tokens{stamp(2), {}});
  inbox.begin_round(2);
  BOOST_CHECK_EQUAL(inbox.size(), 1U);
  BOOST_CHECK(inbox.has(tokens_key(2, 0)));
}

BOOST_AUTO_TEST_CASE(messages_are_told_apart_by_kind_link_purpose_sequence_and_rank) {
  Inbox inbox = inbox_in_round(1);
  const std::vector<Message> different{Tokens{stamp(1), {}},
                                       Tokens{stamp(1, 1), {}},
                                       Activation{stamp(1), Tensor()},
                                       Gradient{stamp(1), Tensor()},
                                       Credit{stamp(1), Link::activation},
                                       Credit{stamp(1), Link::gradient},
                                       part(1, Purpose::forward, 0, 1),
                                       part(1, Purpose::backward, 0, 1),
                                       part(1, Purpose::forward, 1, 1),
                                       part(1, Purpose::forward, 0, 2),
                                       Apply{stamp(1)}};
  for (const Message& message : different) {
    BOOST_CHECK(inbox.accept(message) == Verdict::accepted);
  }
  BOOST_CHECK_EQUAL(inbox.size(), different.size());
  const Message taken = inbox.take(contribution_key(1, 0, Purpose::forward, 1, 1));
  BOOST_CHECK_EQUAL(std::get<Contribution>(taken).sequence, 1U);
}
