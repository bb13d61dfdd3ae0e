// How a shard comes to values of other replicas, told as sentences: what it asks for and when.
#define BOOST_TEST_MODULE value_fetch
#include "actors/protocol/value_fetch.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/protocol_script.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

// Replica 0 of two. Segments of one unit each: the other's, both's, the own, the other's.
ValueLayout four_segments(bool copies, int prefetch) {
  ValueLayout layout;
  layout.segments = {{{{}, {1}}}, {{{}, {0, 1}}}, {{{}, {0}}}, {{{}, {1}}}};
  layout.copies = copies;
  layout.prefetch = prefetch;
  return layout;
}

struct Shard {
  explicit Shard(const ValueLayout& layout) : fetch({2, 1, 1}, {0, 0, 0}, layout) {}

  std::string begin(std::vector<Verb> verbs, std::uint32_t of = 1) {
    round = of;
    inbox.begin_round(round);
    fetch.begin_round({1, 0, round, 0}, verbs, commands);
    return told(commands);
  }
  std::string pause(int unit) {
    Completion at;
    at.unit = unit;
    at.stamp = {1, 0, round, 7};
    fetch.pause(at, commands);
    return told(commands);
  }
  bool resumes() { return fetch.resume_when_there().has_value(); }
  // The other replica's part of a use; what is complete is copied at once.
  void answer(std::uint32_t use, std::uint32_t unit) {
    const Contribution part{{1, 0, round, use}, Purpose::values, unit, 1, {}};
    BOOST_REQUIRE(inbox.accept(part) == Inbox::Verdict::accepted);
    const auto copy = fetch.answered(part, inbox);
    if (!copy) return;
    Completion done;
    done.kind = copy->kind;
    done.stamp = copy->stamp;
    done.parts = copy->parts;
    fetch.copied(std::move(done));
  }

  ValueFetch fetch;
  Inbox inbox{1, 0};
  Commands commands;
  std::uint32_t round = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(what_is_copied_is_asked_for_so_many_segments_ahead) {
  Shard shard(four_segments(true, 1));
  BOOST_CHECK_EQUAL(shard.begin({Verb::forward, Verb::backward}),
                    "contribution value_request 0.0 -> 1.0.0");
  BOOST_CHECK_EQUAL(shard.pause(0), "contribution value_request 1.1 -> 1.0.0");
  BOOST_TEST(!shard.resumes());
  shard.answer(1, 1);  // early
  BOOST_TEST(!shard.resumes());
  shard.answer(0, 0);
  BOOST_TEST(shard.resumes());
  BOOST_CHECK_EQUAL(shard.pause(1), "");  // the next is its own
  BOOST_TEST(shard.resumes());
  BOOST_CHECK_EQUAL(shard.pause(2), "contribution value_request 3.3 -> 1.0.0");
  BOOST_TEST(shard.resumes());
  // Over the end of the forward: the backward begins with the same segment again.
  BOOST_CHECK_EQUAL(shard.pause(3), "contribution value_request 4.3 -> 1.0.0");
  BOOST_TEST(!shard.resumes());
  shard.answer(3, 3);
  BOOST_TEST(shard.resumes());
  BOOST_TEST(shard.fetch.gathers() == 4);
  BOOST_TEST(shard.fetch.hits() == 2);
}

BOOST_AUTO_TEST_CASE(without_prefetch_a_segment_asks_when_it_begins) {
  Shard shard(four_segments(true, 0));
  BOOST_CHECK_EQUAL(shard.begin({Verb::backward_weight, Verb::backward_input}), "");
  BOOST_CHECK_EQUAL(shard.pause(3), "contribution value_request 0.3 -> 1.0.0");
  shard.answer(0, 3);
  BOOST_TEST(shard.resumes());
  BOOST_CHECK_EQUAL(shard.pause(2), "");
  BOOST_TEST(shard.resumes());
  BOOST_CHECK_EQUAL(shard.pause(1), "contribution value_request 2.1 -> 1.0.0");
}

BOOST_AUTO_TEST_CASE(what_the_round_was_not_told_of_asks_when_it_begins) {
  Shard shard(four_segments(true, 2));
  BOOST_CHECK_EQUAL(shard.begin({}), "");
  BOOST_CHECK_EQUAL(shard.pause(0), "contribution value_request 0.0 -> 1.0.0");
  shard.answer(0, 0);
  BOOST_TEST(shard.resumes());
  BOOST_CHECK_EQUAL(shard.pause(1), "contribution value_request 1.1 -> 1.0.0");
}

BOOST_AUTO_TEST_CASE(what_is_read_in_place_is_asked_for_once_a_round) {
  Shard shard(four_segments(false, 0));
  BOOST_CHECK_EQUAL(shard.begin({Verb::forward, Verb::forward, Verb::backward}),
                    "contribution value_request 0.0 -> 1.0.0, "
                    "contribution value_request 1.1 -> 1.0.0, "
                    "contribution value_request 3.3 -> 1.0.0");
  BOOST_CHECK_EQUAL(shard.pause(0), "");
  shard.answer(0, 0);
  BOOST_TEST(shard.resumes());
  BOOST_TEST(!shard.fetch.table());
  shard.answer(3, 3);
  shard.answer(1, 1);
  BOOST_REQUIRE(shard.fetch.table() != nullptr);
  BOOST_TEST(shard.fetch.table()->size() == 4U);
  BOOST_CHECK_EQUAL(shard.begin({}, 2).substr(0, 41), "contribution value_request 0.0 -> 1.0.0, ");
  BOOST_TEST(!shard.fetch.table());
}

BOOST_AUTO_TEST_CASE(an_owner_answers_once_it_has_begun_the_round_itself) {
  Shard shard(four_segments(true, 0));
  shard.begin({Verb::forward}, 1);
  const auto request = [&](std::uint32_t round) {
    shard.fetch.requested({{1, 0, round, 4}, Purpose::value_request, 1, 1, {}}, shard.commands);
    return told(shard.commands);
  };
  BOOST_CHECK_EQUAL(request(1), "contribution values 4.1 -> 1.0.0");
  BOOST_CHECK_EQUAL(request(2), "");
  BOOST_CHECK_EQUAL(shard.begin({Verb::forward}, 2), "contribution values 4.1 -> 1.0.0");
  BOOST_CHECK_EQUAL(request(1), "");
}
