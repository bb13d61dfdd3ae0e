// What the feeder tells: the size of the round first, then each micro-batch with its weight.
#define BOOST_TEST_MODULE feeder_core
#include "actors/protocol/feeder_core.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/protocol_script.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

// Replica r, micro-batch m has r + m labels that count, in 2 rows of 4 tokens.
MicroBatch batch_of(Mode, std::int64_t, int replica, int micro_batch) {
  MicroBatch batch;
  batch.rows = 2;
  batch.sequence = 4;
  batch.valid_tokens = replica + micro_batch;
  batch.loss_scale = 123.0F;
  return batch;
}

Commands round_of(FeederCore& feeder, std::uint32_t round, int micro_batches) {
  Commands commands;
  feeder.receive(BeginRound{{1, 0, round, 0}, Mode::train, micro_batches, 0}, commands);
  return commands;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_shard_gets_the_micro_batches_of_its_replica) {
  FeederCore feeder(1, 0, {2, 1, 2}, batch_of);
  Commands commands = round_of(feeder, 1, 1);
  BOOST_CHECK_EQUAL(told(commands),
                    "round_data 0 -> trainer, tokens 0 -> 0.0.0, tokens 0 -> 0.1.0, "
                    "tokens 0 -> 1.0.0, tokens 0 -> 1.1.0");
  commands = round_of(feeder, 1, 1);
  BOOST_CHECK_EQUAL(told(commands), "");  // the same beginning again
}

BOOST_AUTO_TEST_CASE(a_token_weighs_one_over_all_that_count_in_the_global_batch) {
  FeederCore feeder(1, 0, {2, 1, 1}, batch_of);
  const Commands commands = round_of(feeder, 1, 3);
  const auto& data = std::get<RoundData>(std::get<Send>(commands.front()).message);
  BOOST_CHECK_EQUAL(data.valid_tokens, 0 + 1 + 2 + 1 + 2 + 3);
  BOOST_CHECK_EQUAL(data.tokens, 2 * 3 * 8);
  BOOST_REQUIRE_EQUAL(commands.size(), 1U + 6U);
  for (std::size_t i = 1; i < commands.size(); ++i) {
    const auto& tokens = std::get<Tokens>(std::get<Send>(commands[i]).message);
    BOOST_CHECK_EQUAL(tokens.batch.loss_scale, 1.0F / 9.0F);
  }
}

BOOST_AUTO_TEST_CASE(a_round_without_labels_weighs_nothing) {
  FeederCore feeder(1, 0, {1, 1, 1}, batch_of);
  const Commands commands = round_of(feeder, 1, 1);
  const auto& tokens = std::get<Tokens>(std::get<Send>(commands.back()).message);
  BOOST_CHECK_EQUAL(tokens.batch.loss_scale, 0.0F);
}

// A slice has a number of its own and the weight of its micro-batch; an evaluation is not cut.
BOOST_AUTO_TEST_CASE(slices_are_units_of_their_own) {
  FeederCore feeder(1, 0, {1, 1, 1}, batch_of, 0, 2);
  const Commands commands = round_of(feeder, 1, 3);
  Commands heard = commands;
  BOOST_CHECK_EQUAL(told(heard),
                    "round_data 0 -> trainer, tokens 0 -> 0.0.0, tokens 1 -> 0.0.0, "
                    "tokens 2 -> 0.0.0, tokens 3 -> 0.0.0, tokens 4 -> 0.0.0, tokens 5 -> 0.0.0");
  const auto& data = std::get<RoundData>(std::get<Send>(commands.front()).message);
  BOOST_CHECK_EQUAL(data.valid_tokens, 0 + 1 + 2);
  for (std::size_t unit = 0; unit < 6; ++unit) {
    const auto& tokens = std::get<Tokens>(std::get<Send>(commands[1 + unit]).message);
    BOOST_CHECK_EQUAL(tokens.batch.slice.index, static_cast<int>(unit % 2));
    BOOST_CHECK_EQUAL(tokens.batch.slice.count, 2);
    BOOST_CHECK_EQUAL(tokens.batch.valid_tokens, static_cast<std::int64_t>(unit / 2));
    BOOST_CHECK_EQUAL(tokens.batch.loss_scale, 1.0F / 3.0F);
  }
  Commands evaluation;
  feeder.receive(BeginRound{{1, 0, 2, 0}, Mode::evaluate, 1, 0}, evaluation);
  const auto& whole = std::get<Tokens>(std::get<Send>(evaluation.back()).message);
  BOOST_CHECK_EQUAL(whole.batch.slice.count, 1);
  BOOST_CHECK_EQUAL(told(evaluation), "round_data 0 -> trainer, tokens 0 -> 0.0.0");
}

BOOST_AUTO_TEST_CASE(a_round_that_estimates_curvature_says_how_labels_are_drawn) {
  FeederCore feeder(1, 0, {1, 1, 1}, batch_of);
  Commands plain = round_of(feeder, 1, 2), drawn;
  BeginRound begin{{1, 0, 2, 0}, Mode::train, 1, 8};
  begin.curvature = LabelDraw{5, 8};
  feeder.receive(begin, drawn);
  const auto draw_of = [](const Commands& commands) {
    return std::get<Tokens>(std::get<Send>(commands.back()).message).batch.label_draw;
  };
  BOOST_CHECK(!draw_of(plain));
  BOOST_CHECK(draw_of(drawn) == std::optional(LabelDraw{5, 8}));
  BOOST_CHECK_EQUAL(drawn.size(), 2U);  // of a step of two micro-batches the first alone
}
