// What updates within the backward save, and that their runs resume to the same bits.
#define BOOST_TEST_MODULE turn_updates
#include "actors/turn_updates.hpp"

#include <boost/test/unit_test.hpp>

#include "actors/plan.hpp"
#include "tests/unit/actors/measured_grid.hpp"
#include "tests/unit/actors/tiny_trainer.hpp"

namespace collie::testing {
namespace {

const std::vector<std::string> lean = {"model.dtype=bfloat16", "model.master_weights=false",
                                       "train.clip_norm=0"};

std::vector<std::string> lean_with(const std::vector<std::string>& more) {
  std::vector<std::string> all = lean;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

// Bytes a parameter of weights, gradients and optimizer state.
double planned_bytes(const std::string& model, std::vector<std::string> overrides) {
  const std::string text = R"({"model": {"tokenizer_vocab_size": 1000, "fresh": )" + model +
                           R"(},
    "data": {"sequence_length": 512}, "train": {"max_steps": 1}})";
  const RunConfig config = parse_config(text, "test", overrides).value();
  const Plan plan = make_plan(config).value();
  const auto count = static_cast<double>(plan.parameter_count);
  const double bytes = static_cast<double>(plan.shards[0].parameter_bytes) / count;
  fmt::print("{:50} {:.0f} M parameters: {:.3f} bytes each, {:.3f} at the peak\n",
             fmt::join(overrides, " "), count / 1e6, bytes,
             static_cast<double>(plan.shards[0].peak_bytes) / count);
  return bytes;
}

const std::string seven_billion = R"({"model_type": "llama", "vocab_size": 32000,
  "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
  "num_key_value_heads": 32, "intermediate_size": 11008, "max_position_embeddings": 2048,
  "rms_norm_eps": 1e-5, "tie_word_embeddings": false})";
const std::string gpt2_small = R"({"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768,
  "n_layer": 12, "n_head": 12, "n_positions": 1024})";

}  // namespace

BOOST_AUTO_TEST_CASE(a_step_holds_the_gradients_of_one_segment) {
  for (const char* name : {"lomo", "adalomo"}) {
    const RunConfig config = proportioned_config(
        lean_with({std::string("train.optimizer.name=") + name, "train.accumulation=1"}));
    const Plan plan = make_plan(config).value();
    MeasuredGrid grid(config);
    grid.train(3);
    // The embedding's is the largest, the norms' gains are beside it.
    constexpr std::size_t expected = 4 * (2048 * 128 + (2 * 4 + 1) * 128);
    Parameters& parameters = grid.executor(0).parameters();
    BOOST_CHECK_EQUAL(parameters.gradients().size_bytes(), expected);
    BOOST_CHECK_EQUAL(parameters.values().size_bytes(),
                      static_cast<std::size_t>(2 * plan.parameter_count));
    const auto predicted = static_cast<double>(plan.shards[0].peak_bytes);
    const auto measured = static_cast<double>(grid.memory_of(0).peak_bytes);
    fmt::print("{}: predicted {:.0f}, measured {:.0f} bytes at the peak\n", name, predicted,
               measured);
    BOOST_CHECK_CLOSE(predicted, measured, 10.0);
    const RunConfig whole = proportioned_config({"train.accumulation=1"});
    BOOST_TEST(measured < 0.7 * static_cast<double>(make_plan(whole)->shards[0].peak_bytes));
  }
}

// Two bytes of weights and the room of one segment; AdamW with float32 weights as a comparison.
BOOST_AUTO_TEST_CASE(seven_billion_parameters_take_little_more_than_their_weights) {
  for (const char* name : {"lomo", "adalomo"}) {
    const std::string optimizer = std::string("train.optimizer.name=") + name;
    BOOST_TEST(planned_bytes(seven_billion, lean_with({optimizer})) < 2.1);
    BOOST_TEST(planned_bytes(seven_billion, {"model.dtype=bfloat16", "model.master_weights=false",
                                             optimizer}) < 2.1);
    // A tied table's gradient is one, made by the head and by the embedding.
    BOOST_TEST(planned_bytes(gpt2_small, lean_with({optimizer})) < 3.5);
  }
  BOOST_CHECK_CLOSE(planned_bytes(seven_billion, {"model.dtype=bfloat16"}), 18.0, 1.0);
}

BOOST_AUTO_TEST_CASE(runs_resume_to_the_same_bits) {
  const std::vector<std::vector<std::string>> cases = {
      {"train.optimizer.name=adalomo"},
      {"train.optimizer.name=adalomo", "train.optimizer.clip=previous", "train.clip_norm=0.1"},
      {"train.optimizer.name=lomo", "train.optimizer.clip=previous", "train.clip_norm=0.1"},
      {"train.optimizer.name=adalomo", "model.dtype=bfloat16", "model.master_weights=false",
       "train.optimizer.rounding=stochastic"},
  };
  for (std::vector<std::string> overrides : cases) {
    overrides.emplace_back("grid.pp=2");
    TinyTrainer trainer;
    const auto whole = trainer.train("whole", overrides);
    BOOST_REQUIRE_MESSAGE(whole.ok(), test::message_of(whole));
    const auto stopped = trainer.train("stopped", overrides, 5);
    BOOST_REQUIRE_MESSAGE(stopped.ok(), test::message_of(stopped));
    const auto resumed = trainer.train("stopped", overrides);
    BOOST_REQUIRE_MESSAGE(resumed.ok(), test::message_of(resumed));
    BOOST_CHECK_MESSAGE(resumed->parameter_hash == whole->parameter_hash,
                        fmt::format("{}", fmt::join(overrides, " ")));
  }
}

BOOST_AUTO_TEST_CASE(what_a_run_cannot_do_is_said) {
  const auto message_for = [](const std::vector<std::string>& overrides) {
    const RunConfig config = proportioned_config(overrides);
    const ModelSetup setup = set_up_model(config).value();
    const auto choice = choose_update_in_backward(config, setup);
    return choice.ok() ? std::string() : choice.error().message;
  };
  const auto says = [&](const std::vector<std::string>& overrides, const char* part) {
    const std::string message = message_for(overrides);
    BOOST_CHECK_MESSAGE(message.find(part) != std::string::npos, message);
  };
  const std::string forced = "train.optimizer.in_backward=true";
  says({forced, "train.optimizer.name=muon"}, "muon needs all gradients");
  says({forced, "tuning.method=lora"}, "tuned");
  says({forced, "grid.schedule=pipemare", "grid.pp=2"}, "synchronous");
  says({"model.master_weights=false"}, "model.dtype bfloat16");
  BOOST_CHECK(
      message_for({"model.dtype=bfloat16", "model.master_weights=false", "tuning.method=lora"})
          .empty());
  BOOST_CHECK(message_for({"train.optimizer.name=lomo", "tuning.method=lora"}).empty());
}

}  // namespace collie::testing
