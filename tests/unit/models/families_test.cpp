#define BOOST_TEST_MODULE families
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "models/registry.hpp"
#include "models/stage.hpp"
#include "runtime/json.hpp"

using namespace collie;

namespace {

Json small_llama() {
  return {{"model_type", "llama"},    {"vocab_size", 96},
          {"hidden_size", 32},        {"intermediate_size", 64},
          {"num_hidden_layers", 3},   {"num_attention_heads", 4},
          {"num_key_value_heads", 2}, {"max_position_embeddings", 64}};
}

Json with(std::string_view key, Json value) {
  Json config = small_llama();
  config[key] = std::move(value);
  return config;
}

std::string error_of(const Json& config) {
  const auto traits = parse_model_config(config, "config.json");
  BOOST_REQUIRE(!traits.ok());
  BOOST_TEST(traits.error().message.find('\n') == std::string::npos);
  return traits.error().message;
}

void expect(const std::string& message, std::string_view part) {
  BOOST_TEST(message.find(part) != std::string::npos, message << " lacks " << part);
}

}  // namespace

BOOST_AUTO_TEST_CASE(goldens_are_read) {
  const std::string root = std::string(COLLIE_TESTS_DIR) + "/goldens/models/";
  const auto qwen2 = read_model_config(root + "qwen2");
  BOOST_REQUIRE(qwen2.ok());
  BOOST_TEST(qwen2->head_dim == 10);
  BOOST_TEST(qwen2->qkv_bias);
  BOOST_TEST(!qwen2->attention_output_bias);
  BOOST_TEST(qwen2->tied_embeddings);
  const auto qwen3 = read_model_config(root + "qwen3");
  BOOST_REQUIRE(qwen3.ok());
  BOOST_TEST(qwen3->head_dim == 12);
  BOOST_TEST(qwen3->qk_norm);
  const auto gpt2 = read_model_config(root + "gpt2");
  BOOST_REQUIRE(gpt2.ok());
  BOOST_TEST(gpt2->mlp_size == 64);
  BOOST_TEST((gpt2->norm == NormKind::layer));
  const auto mistral = read_model_config(root + "mistral");
  BOOST_REQUIRE(mistral.ok());
  BOOST_TEST(mistral->attention_window == 0);
}

BOOST_AUTO_TEST_CASE(both_layouts_of_rope_agree) {
  const std::string root = std::string(COLLIE_TESTS_DIR) + "/goldens/models/";
  const auto newer = read_model_config(root + "llama3");
  const auto older = read_model_config(root + "llama3_tied");
  BOOST_REQUIRE(newer.ok());
  BOOST_REQUIRE(older.ok());
  BOOST_TEST(newer->inverse_frequencies == older->inverse_frequencies,
             boost::test_tools::per_element());
  // Wavelengths 6.3 (kept), 23.6 (between), 88.9 and 334 (slowed four times): theta 200, size 8.
  BOOST_TEST(newer->inverse_frequencies[0] == 1.0);
  BOOST_TEST(newer->inverse_frequencies[3] == std::pow(200.0, -0.75) / 4.0,
             boost::test_tools::tolerance(1e-6));
}

BOOST_AUTO_TEST_CASE(linear_scaling_slows_all) {
  const Json scaled = with("rope_scaling", {{"type", "linear"}, {"factor", 4.0}});
  const auto plain = parse_model_config(small_llama(), "config.json");
  const auto slow = parse_model_config(scaled, "config.json");
  BOOST_REQUIRE(slow.ok());
  for (std::size_t index = 0; index < 4; ++index) {
    BOOST_TEST(slow->inverse_frequencies[index] == plain->inverse_frequencies[index] / 4.0);
  }
}

BOOST_AUTO_TEST_CASE(errors_name_the_key) {
  expect(error_of(with("hidden_size", "x")), "config.json: hidden_size");
  expect(error_of(with("vocab_size", 0)), "vocab_size");
  expect(error_of(with("num_hidden_layers", 1000000)), "num_hidden_layers");
  expect(error_of(with("num_key_value_heads", 3)), "num_key_value_heads");
  Json five = with("num_attention_heads", 5);
  five.erase("num_key_value_heads");
  expect(error_of(five), "num_attention_heads");
  expect(error_of(with("head_dim", 7)), "head_dim");
  expect(error_of(with("hidden_act", "relu")), "hidden_act: \"relu\" is not supported");
  expect(error_of(with("rope_scaling", {{"rope_type", "yarn"}})), "yarn");
  expect(error_of(with("rope_scaling", {{"type", "linear"}})), "rope_scaling.factor");
  expect(error_of(with("rope_parameters", 3)), "rope_parameters");
  expect(error_of(with("rms_norm_eps", -1)), "rms_norm_eps");
  Json missing = small_llama();
  missing.erase("intermediate_size");
  expect(error_of(missing), "intermediate_size");
}

BOOST_AUTO_TEST_CASE(unknown_families_come_with_a_suggestion) {
  const std::string message = error_of(with("model_type", "lama"));
  expect(message, "model_type");
  expect(message, "did you mean 'llama'");
  const auto traits = parse_model_config(with("model_type", "lama"), "config.json");
  BOOST_TEST((traits.error().code == ErrorCode::unsupported));
}

BOOST_AUTO_TEST_CASE(a_window_on_some_layers_is_refused) {
  Json config = with("model_type", "qwen2");
  config["use_sliding_window"] = true;
  config["max_window_layers"] = 2;
  expect(error_of(config), "use_sliding_window");
  config["max_window_layers"] = 0;
  config["sliding_window"] = 8;
  BOOST_TEST(parse_model_config(config, "config.json")->attention_window == 8);
  BOOST_TEST(parse_model_config(with("model_type", "mistral"), "c")->attention_window == 4096);
}

BOOST_AUTO_TEST_CASE(unknown_keys_survive) {
  Json config = with("my_own_key", {{"a", 1}});
  config.erase("num_key_value_heads");
  const auto traits = parse_model_config(config, "config.json");
  BOOST_REQUIRE(traits.ok());
  const Json written = model_config_json(*traits, DType::bf16);
  BOOST_TEST(written["my_own_key"]["a"] == 1);
  BOOST_TEST(written["architectures"][0] == "LlamaForCausalLM");
  BOOST_TEST(written["torch_dtype"] == "bfloat16");
  BOOST_TEST(written["num_key_value_heads"] == 4);
  for (const auto& [key, value] : config.items()) BOOST_TEST(written[key] == value);
}
