#define BOOST_TEST_MODULE parameters
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <map>

#include "models/gradient_turns.hpp"
#include "models/hf_model.hpp"
#include "models/registry.hpp"
#include "models/stage.hpp"

using namespace collie;

namespace {

ModelTraits golden_traits(const std::string& family) {
  auto traits = read_model_config(std::string(COLLIE_TESTS_DIR) + "/goldens/models/" + family);
  COLLIE_CHECK(traits.ok(), "{}", traits.error().message);
  return *traits;
}

StageSlice slice_of(const ModelTraits& traits, int rank = 0, int size = 1) {
  return {0, traits.layer_count, true, true, rank, size};
}

StreamOptions inline_stream() {
  StreamOptions options;
  options.inline_execution = true;
  return options;
}

const ParameterSpec& named(const std::vector<ParameterSpec>& specs, std::string_view name) {
  const auto found = std::find_if(specs.begin(), specs.end(),
                                  [&](const ParameterSpec& spec) { return spec.name == name; });
  COLLIE_CHECK(found != specs.end(), "no {}", name);
  return *found;
}

// All values of a fresh model on a grid of tp shards, whole, by name.
std::map<std::string, std::vector<float>> fresh_values(const ModelTraits& traits, int tp) {
  Stream stream(inline_stream());
  std::vector<std::unique_ptr<Parameters>> shards;
  ModelAssembler assembler;
  std::map<std::string, std::vector<float>> values;
  for (int rank = 0; rank < tp; ++rank) {
    auto specs = declare_parameters(traits, slice_of(traits, rank, tp));
    shards.push_back(std::make_unique<Parameters>(stream.allocator(), *specs, DType::f32, false));
    Parameters& parameters = *shards.back();
    stream.submit([&] { parameters.initialize(stream, 42); });
    assembler.add(parameters);
    for (const ParameterSpec& spec : *specs) {
      if (spec.owned) values[spec.name].resize(static_cast<std::size_t>(spec.rows * spec.cols));
    }
  }
  for (auto& [name, whole] : values) COLLIE_CHECK(assembler.copy_global(name, whole).ok());
  return values;
}

double stddev_of(const std::vector<float>& values) {
  double squares = 0.0;
  for (const float value : values)
    squares += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(squares / static_cast<double>(values.size()));
}

}  // namespace

BOOST_AUTO_TEST_CASE(canonical_order) {
  const ModelTraits traits = golden_traits("qwen2");
  const auto specs = declare_parameters(traits, slice_of(traits));
  BOOST_REQUIRE(specs.ok());
  std::vector<std::string> names;
  for (const ParameterSpec& spec : *specs) names.push_back(spec.name);
  const std::vector<std::string> first = {"embedding",
                                          "layers.0.attention.norm",
                                          "layers.0.attention.q",
                                          "layers.0.attention.k",
                                          "layers.0.attention.v",
                                          "layers.0.attention.q_bias",
                                          "layers.0.attention.k_bias",
                                          "layers.0.attention.v_bias",
                                          "layers.0.attention.o",
                                          "layers.0.mlp.norm",
                                          "layers.0.mlp.gate",
                                          "layers.0.mlp.up",
                                          "layers.0.mlp.down",
                                          "layers.1.attention.norm"};
  names.resize(first.size());
  BOOST_TEST(names == first, boost::test_tools::per_element());
  BOOST_TEST(specs->back().name == "head");
  BOOST_TEST(specs->back().tied_to == "embedding");
}

BOOST_AUTO_TEST_CASE(shared_kv_heads_have_groups) {
  const ModelTraits traits = golden_traits("llama3");  // 4 heads, 2 key/value heads of 8
  const auto specs = declare_parameters(traits, slice_of(traits, 3, 4));
  BOOST_REQUIRE(specs.ok());
  const ParameterSpec& k = named(*specs, "layers.0.attention.k");
  BOOST_TEST(k.row_begin == 8);
  BOOST_TEST(k.row_end == 16);
  BOOST_TEST(k.gradient_group_begin == 2);
  BOOST_TEST(k.gradient_group_end == 4);
  BOOST_TEST(!k.owned);
  const ParameterSpec& q = named(*specs, "layers.0.attention.q");
  BOOST_TEST(q.row_begin == 24);
  BOOST_TEST(q.gradient_group_end == 0);
  BOOST_TEST(named(*specs, "layers.0.attention.o").col_begin == 24);
}

BOOST_AUTO_TEST_CASE(cuts_that_do_not_work_name_the_key) {
  const ModelTraits traits = golden_traits("llama3");
  const auto specs = declare_parameters(traits, slice_of(traits, 0, 3));
  BOOST_REQUIRE(!specs.ok());
  BOOST_TEST(specs.error().message.find("num_attention_heads 4") == 0U);
  BOOST_TEST((specs.error().code == ErrorCode::invalid_config));
  const ModelTraits gpt2 = golden_traits("gpt2");
  BOOST_TEST(declare_parameters(gpt2, slice_of(gpt2, 0, 3)).error().message.find("n_head") == 0U);
}

BOOST_AUTO_TEST_CASE(stores_are_aligned_and_fused) {
  const ModelTraits traits = golden_traits("qwen2");
  Stream stream(inline_stream());
  const auto specs = declare_parameters(traits, slice_of(traits));
  Parameters parameters(stream.allocator(), *specs, DType::bf16, true);
  std::int64_t end = 0;
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = specs->at(static_cast<std::size_t>(index));
    if (parameters.is_alias(index)) continue;
    BOOST_TEST(parameters.offset(index) == end, spec.name);
    if (!spec.joined) BOOST_TEST(parameters.offset(index) % 16 == 0);
    end += parameters.padded_count(index);
  }
  BOOST_TEST(end == parameters.values().element_count());
  BOOST_TEST(end == parameters.gradients().element_count());
  const int q = parameters.find("layers.1.attention.q");
  const Tensor fused = parameters.compute_rows(q, 3);
  BOOST_TEST(fused.dim(0) == 40 + 20 + 20);
  BOOST_TEST(fused.raw() + 40 * 40 * 2 == parameters.compute(q + 1).raw());
  const int head = parameters.find("head");
  BOOST_TEST(parameters.is_alias(head));
  BOOST_TEST(parameters.padded_count(head) == 0);
  BOOST_TEST(parameters.value(head).raw() == parameters.value(0).raw());
  BOOST_TEST(parameters.gradient(head).raw() != parameters.gradient(0).raw());
}

BOOST_AUTO_TEST_CASE(every_grid_starts_from_the_same_values) {
  for (const std::string family : {"llama3", "qwen2", "gpt2"}) {
    const ModelTraits traits = golden_traits(family);
    const auto whole = fresh_values(traits, 1);
    for (const int tp : {2, 4}) BOOST_TEST((fresh_values(traits, tp) == whole), family);
  }
}

BOOST_AUTO_TEST_CASE(initial_values_follow_the_family) {
  const auto gpt2 = fresh_values(golden_traits("gpt2"), 1);
  const auto near = boost::test_tools::tolerance(0.1);
  BOOST_TEST(stddev_of(gpt2.at("embedding")) == 0.02, near);
  BOOST_TEST(stddev_of(gpt2.at("layers.0.mlp.up")) == 0.02, near);
  BOOST_TEST(stddev_of(gpt2.at("layers.0.mlp.down")) == 0.02 / std::sqrt(6.0), near);
  BOOST_TEST(stddev_of(gpt2.at("layers.0.attention.q_bias")) == 0.0);
  for (const float gain : gpt2.at("layers.1.mlp.norm")) BOOST_TEST(gain == 1.0F);
  BOOST_TEST((gpt2.at("layers.0.mlp.up") != gpt2.at("layers.1.mlp.up")));
}

BOOST_AUTO_TEST_CASE(a_tied_head_far_away_is_a_copy) {
  const ModelTraits traits = golden_traits("qwen2");
  Stream stream(inline_stream());
  StageSlice last{2, 3, false, true, 0, 1};
  Parameters parameters(stream.allocator(), *declare_parameters(traits, last), DType::f32, true);
  const int head = parameters.find("head");
  BOOST_TEST(!parameters.is_alias(head));
  BOOST_TEST(!parameters.specs()[static_cast<std::size_t>(head)].owned);
  stream.submit([&] { parameters.initialize(stream, 42); });
  const std::vector<float> embedding = fresh_values(traits, 1).at("embedding");
  const Tensor values = parameters.value(head);
  BOOST_TEST(std::memcmp(values.raw(), embedding.data(), values.size_bytes()) == 0);
}

BOOST_AUTO_TEST_CASE(a_head_of_its_own_is_in_turn) {
  const ModelTraits traits = golden_traits("llama3");
  Stream stream(inline_stream());
  ModelTraits untied = traits;
  untied.tied_embeddings = false;
  std::vector<ParameterSpec> specs = *declare_parameters(untied, slice_of(untied));
  take_turns(untied, slice_of(untied), specs);
  const Parameters parameters(stream.allocator(), specs, DType::f32, true);
  const std::byte* room = parameters.gradient(parameters.find("embedding")).raw();
  BOOST_TEST(parameters.gradient(parameters.find("head")).raw() == room);
  BOOST_TEST(parameters.gradient(parameters.find("layers.0.attention.q")).raw() == room);
}

// Frozen weights are kept once, in the compute type: with their bits, wherever they stand.
BOOST_AUTO_TEST_CASE(what_is_frozen_has_no_float32_value_under_bfloat16) {
  const ModelTraits traits = golden_traits("qwen2");
  Stream stream(inline_stream());
  std::vector<ParameterSpec> specs = *declare_parameters(traits, slice_of(traits));
  Parameters all(stream.allocator(), specs, DType::bf16, true);
  for (ParameterSpec& spec : specs) spec.trainable = spec.name == "layers.0.mlp.down";
  for (const int level : {0, 3}) {
    const Sharding sharding{0, level == 0 ? 1 : 2, level};
    Parameters some(stream.allocator(), specs,
                    {.compute_dtype = DType::bf16, .sharding = sharding});
    stream.submit([&] {
      all.initialize(stream, 42);
      some.initialize(stream, 42);
    });
    BOOST_TEST(some.values().element_count() <= all.padded_count(all.find("layers.0.mlp.down")));
    int held = 0;
    for (int index = 0; index < all.count(); ++index) {
      const std::string& name = specs[static_cast<std::size_t>(index)].name;
      if (all.is_alias(index) || !some.holds_value(index)) continue;
      ++held;
      const bool is_trained = some.is_trainable(index);
      const Tensor value = some.value(index), whole = all.compute(index);
      BOOST_TEST((value.dtype() == (is_trained ? DType::f32 : DType::bf16)), name);
      BOOST_TEST(std::memcmp(some.compute(index).raw(), whole.raw(), whole.size_bytes()) == 0,
                 name);
      if (!is_trained) BOOST_TEST(value.raw() == some.compute(index).raw(), name);
    }
    BOOST_TEST((level == 0 ? held > 1 && some.holds_value(0) : held < all.count()));
  }
}

BOOST_AUTO_TEST_CASE(gradients_in_turn_share_one_room) {
  const ModelTraits traits = golden_traits("gpt2");
  Stream stream(inline_stream());
  std::vector<ParameterSpec> specs = *declare_parameters(traits, slice_of(traits));
  take_turns(traits, slice_of(traits), specs);
  const Parameters parameters(stream.allocator(), specs, DType::f32, true);
  std::map<int, std::int64_t> turns;
  std::int64_t standing = 0;
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.is_alias(index)) continue;
    (parameters.is_in_turn(index) ? turns[specs[static_cast<std::size_t>(index)].turn]
                                  : standing) += parameters.padded_count(index);
  }
  BOOST_CHECK_EQUAL(turns.size(), static_cast<std::size_t>(2 * traits.layer_count));
  std::int64_t room = 0;
  for (const auto& [turn, count] : turns) room = std::max(room, count);
  const Tensor all = parameters.standing_gradients();
  BOOST_CHECK_EQUAL(all.element_count(), standing);
  const auto begins_room = [&](const char* name) {
    const std::byte* at = parameters.gradient(parameters.find(name)).raw();
    return at == all.raw() + 4 * standing;
  };
  for (const char* first : {"layers.0.attention.q", "layers.1.mlp.up"}) {
    BOOST_TEST(begins_room(first), first);
  }
  BOOST_TEST(!begins_room("layers.0.attention.norm"));
  // A tied table has one gradient, begun by the head and ended by the embedding.
  BOOST_TEST(!begins_room("embedding"));
  BOOST_TEST(parameters.gradient(parameters.find("head")).raw() ==
             parameters.gradient(parameters.find("embedding")).raw());
  BOOST_TEST(room < parameters.trainable_elements());
}
