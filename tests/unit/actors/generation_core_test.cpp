// The order of turns, who is asked in them, and when a group is over.
#define BOOST_TEST_MODULE generation_core
#include "actors/protocol/generation_core.hpp"

#include <boost/test/unit_test.hpp>

#include "actors/generation_plan.hpp"

using namespace collie;

namespace {

constexpr std::int32_t end_id = 9;

GenerationSettings settings_of(int prompts, int groups, int rows) {
  GenerationSettings settings;
  settings.prompts = prompts;
  settings.groups = groups;
  settings.rows = rows;
  settings.max_tokens = 3;
  settings.context_length = 100;
  settings.end_ids = {end_id};
  return settings;
}

// One shard of a replica, its inbox, and what was done in words: "p2" prompt 2 is taken in, "d01"
// the sequences in places 0 and 1 are decoded, "-" an idle turn.
class Shard {
 public:
  Shard(const GenerationSettings& settings, int replica, int replicas, bool together)
      : replica_(replica) {
    inbox_.begin_round(1);
    core_.begin(settings, replica, replicas, together);
  }
  void hear_prompt(std::uint32_t prompt) {
    MicroBatch batch;
    batch.rows = 1;
    batch.sequence = 4 + prompt;
    inbox_.accept(Tokens{{1, 0, 1, prompt}, batch});
  }
  void hear(const Sampled& sampled) { inbox_.accept(sampled); }
  std::string next() {
    const auto state = core_.settle(1, inbox_);
    if (state == GenerationCore::State::over) return "over";
    if (state == GenerationCore::State::waits) return "waits";
    const Work work = core_.take_turn(1, inbox_);
    if (work.turn.is_idle) return "-";
    if (work.turn.rows.front().begins) return fmt::format("p{}", work.batch.sequence - 4);
    std::string text = "d";
    for (const TurnRow& row : work.turn.rows) text += std::to_string(row.place);
    return text;
  }
  Sampled sample(std::uint32_t turn, const std::vector<std::int32_t>& ids) const {
    return {{1, 0, 1, turn}, replica_, ids, core_.is_idle_after(turn, ids)};
  }
  GenerationCore& core() { return core_; }
  Inbox& inbox() { return inbox_; }

 private:
  int replica_;
  GenerationCore core_;
  Inbox inbox_{1, 0};
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_place_that_is_free_takes_the_next_prompt) {
  Shard shard(settings_of(3, 1, 2), 0, 1, false);
  BOOST_TEST(shard.next() == "waits");  // for the prompt
  for (const std::uint32_t prompt : {0, 1, 2}) shard.hear_prompt(prompt);
  BOOST_TEST(shard.next() == "p0");
  BOOST_TEST(shard.next() == "waits");  // for its token
  shard.hear(shard.sample(0, {5}));
  BOOST_TEST(shard.next() == "p1");
  shard.hear(shard.sample(1, {6}));
  BOOST_TEST(shard.next() == "d01");
  shard.hear(shard.sample(2, {end_id, 7}));
  BOOST_TEST(shard.next() == "p2");  // in the place of prompt 0
  shard.hear(shard.sample(3, {8}));
  BOOST_TEST(shard.next() == "d01");
  const Sampled last = shard.sample(4, {end_id, 1});
  BOOST_TEST(last.is_idle);  // the other has its third token
  shard.hear(last);
  BOOST_TEST(shard.next() == "over");
  const std::vector<GeneratedSequence> expected = {{0, {5}, FinishReason::end_token},
                                                   {1, {6, 7, 1}, FinishReason::max_tokens},
                                                   {2, {8}, FinishReason::end_token}};
  BOOST_TEST((shard.core().take_generated() == expected));
}

BOOST_AUTO_TEST_CASE(groups_take_turns_whatever_comes_first) {
  Shard shard(settings_of(2, 2, 1), 0, 1, false);
  shard.hear_prompt(1);
  BOOST_TEST(shard.next() == "waits");  // the first group's prompt, although the second's is there
  shard.hear_prompt(0);
  BOOST_TEST(shard.next() == "p0");
  BOOST_TEST(shard.next() == "p1");
  shard.hear(shard.sample(1, {end_id}));
  BOOST_TEST(shard.next() == "waits");
  shard.hear(shard.sample(0, {4}));
  BOOST_TEST(shard.next() == "d0");
  BOOST_TEST(shard.next() == "waits");  // the second group's turn is left out, then the first's
  BOOST_TEST(shard.core().turn() == 4U);
  shard.hear(shard.sample(2, {-1}));
  BOOST_TEST(shard.next() == "over");
  const std::vector<GeneratedSequence> expected = {{0, {4}, FinishReason::non_finite},
                                                   {1, {}, FinishReason::end_token}};
  BOOST_TEST((shard.core().take_generated() == expected));
}

BOOST_AUTO_TEST_CASE(messages_of_turns_that_have_passed_are_stale) {
  Shard shard(settings_of(1, 1, 1), 0, 1, false);
  shard.hear_prompt(0);
  BOOST_TEST(shard.next() == "p0");
  const Sampled first = shard.sample(0, {4});
  shard.hear(first);
  shard.hear(first);
  BOOST_TEST(shard.next() == "d0");
  shard.hear(first);
  shard.hear_prompt(0);
  BOOST_TEST(shard.inbox().size() == 0U);
  BOOST_TEST(shard.inbox().duplicate_count() == 2U);
  BOOST_TEST(shard.inbox().stale_count() == 1U);
}

BOOST_AUTO_TEST_CASE(replicas_that_meet_go_on_until_all_are_idle) {
  const GenerationSettings settings = settings_of(1, 1, 1);
  Shard busy(settings, 0, 2, true), idle(settings, 1, 2, true);
  busy.hear_prompt(0);
  BOOST_TEST(busy.next() == "p0");
  BOOST_TEST(idle.next() == "-");
  std::uint32_t turn = 0;
  for (const std::int32_t id : {3, 4, 5}) {
    const Sampled of_busy = busy.sample(turn, {id}), of_idle = idle.sample(turn, {});
    busy.hear(of_busy);
    idle.hear(of_busy);
    BOOST_TEST(busy.next() == "waits");
    busy.hear(of_idle);
    idle.hear(of_idle);
    BOOST_TEST(busy.next() == (id == 5 ? "over" : "d0"));
    BOOST_TEST(idle.next() == (id == 5 ? "over" : "-"));
    ++turn;
  }
  BOOST_TEST(idle.core().take_generated().empty());
}

BOOST_AUTO_TEST_CASE(the_plan_fits_the_limit) {
  ModelTraits traits;
  traits.context_length = 1000;
  traits.kv_head_count = 4;
  traits.head_dim = 8;
  GenerationInputs inputs{.ranks = 4, .layers = 2, .longest = 60};
  inputs.token_bytes = cache_token_bytes(traits, 2, DType::bf16);
  BOOST_TEST(inputs.token_bytes == 2 * 2 * 8 * 2);
  GenerationOptions options;
  options.max_tokens = 40;
  const std::int64_t sequence_bytes = 2 * 64 * 100;
  const auto rows_and_groups = [&](std::int64_t bytes) {
    inputs.cache_bytes_max = bytes;
    const auto plan = plan_generation(inputs, traits, options, {1});
    return plan ? fmt::format("{} {}", plan->groups, plan->rows) : plan.error().message;
  };
  BOOST_TEST(rows_and_groups(1000 * sequence_bytes) == "4 8");
  BOOST_TEST(rows_and_groups(11 * sequence_bytes) == "4 2");
  BOOST_TEST(rows_and_groups(3 * sequence_bytes) == "3 1");
  BOOST_TEST(rows_and_groups(sequence_bytes - 1).starts_with("keys and values of one sequence"));
  options.sampling.top_p = 2.0;
  BOOST_TEST(rows_and_groups(sequence_bytes).find("top_p") != std::string::npos);
  options = {};
  options.max_tokens = 0;
  BOOST_TEST(rows_and_groups(sequence_bytes).starts_with("max_tokens must be"));
}
