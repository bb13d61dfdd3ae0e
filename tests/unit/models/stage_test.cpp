#define BOOST_TEST_MODULE stage
#include <boost/test/unit_test.hpp>
#include <random>

#include "tests/numerics/decoder_support.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

ModelTraits small_traits(int layers = 2) {
  const Json config = {{"model_type", "llama"},
                       {"vocab_size", 50},
                       {"hidden_size", 16},
                       {"intermediate_size", 24},
                       {"num_hidden_layers", layers},
                       {"num_attention_heads", 2},
                       {"max_position_embeddings", 256}};
  return must(parse_model_config(config, "config"));
}

std::vector<std::int32_t> random_ids(std::size_t count, int seed) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::vector<std::int32_t> ids(count);
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % 50);
  return ids;
}

MicroBatch random_batch(Stream& stream, std::int64_t rows, std::int64_t sequence, int seed) {
  const auto tokens = static_cast<std::size_t>(rows * sequence);
  return make_batch(stream, rows, random_ids(tokens, seed), random_ids(tokens, seed + 100),
                    plain_positions(rows, sequence));
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0.0, norm = 0.0;
  for (std::size_t index = 0; index < a.size(); ++index) {
    const double delta = static_cast<double>(a[index]) - static_cast<double>(b[index]);
    difference += delta * delta;
    norm += static_cast<double>(a[index]) * static_cast<double>(a[index]);
  }
  return std::sqrt(difference / norm);
}

class NoLoss final : public Loss {
 public:
  void forward_backward(Stream&, Tensor&, const Tensor&, float, Tensor&) const override {}
};

}  // namespace

// 600 tokens are three chunks of the head, the last one short; 200 are one.
BOOST_AUTO_TEST_CASE(chunks_of_the_head_add_up) {
  TestGrid grid(small_traits(), {});
  grid.initialize(1);
  const std::vector<std::int32_t> ids = random_ids(600, 1), labels = random_ids(600, 2);
  MicroBatch whole = make_batch(grid.stream(), 3, ids, labels, plain_positions(3, 200));
  const double loss = grid.step({whole});
  const auto gradients = grid.gradients();
  std::vector<MicroBatch> rows;
  for (std::ptrdiff_t row = 0; row < 3; ++row) {
    const auto cut = [&](const std::vector<std::int32_t>& all) {
      return std::vector<std::int32_t>(all.begin() + row * 200, all.begin() + (row + 1) * 200);
    };
    rows.push_back(make_batch(grid.stream(), 1, cut(ids), cut(labels), plain_positions(1, 200)));
    rows.back().loss_scale = whole.loss_scale;
  }
  BOOST_TEST(grid.step(rows) == loss, boost::test_tools::tolerance(1e-6));
  for (const auto& [name, values] : grid.gradients()) {
    BOOST_TEST(distance(gradients.at(name), values) <= 2e-5, name);
  }
}

BOOST_AUTO_TEST_CASE(steady_state_allocates_nothing) {
  for (const Recompute recompute : {Recompute::none, Recompute::attention, Recompute::full}) {
    GridOptions options;
    options.stage.recompute = recompute;
    TestGrid grid(small_traits(), options);
    grid.initialize(1);
    const MicroBatch small = random_batch(grid.stream(), 2, 100, 3);
    const MicroBatch large = random_batch(grid.stream(), 4, 100, 3);
    for (int step = 0; step < 2; ++step) grid.step({large, large});
    const MemoryUse warm = grid.stream().allocator().use();
    grid.step({large, large});
    BOOST_TEST(grid.stream().allocator().use().system_calls == warm.system_calls);
    BOOST_TEST(grid.stream().allocator().use().live_bytes == warm.live_bytes);
    // What stays between steps (rotary table, scratch) does not grow with the micro-batch.
    grid.step({small});
    BOOST_TEST(grid.stream().allocator().use().live_bytes == warm.live_bytes);
  }
}

BOOST_AUTO_TEST_CASE(recomputing_needs_less_memory) {
  std::vector<std::size_t> peaks;
  for (const Recompute recompute : {Recompute::none, Recompute::attention, Recompute::full}) {
    GridOptions options;
    options.stage.recompute = recompute;
    options.fused_backward = true;  // else all that was recomputed waits for backward_weight
    TestGrid grid(small_traits(8), options);
    grid.initialize(1);
    const MicroBatch batch = random_batch(grid.stream(), 4, 200, 3);
    grid.stream().allocator().reset_peak();
    grid.step({batch});
    peaks.push_back(grid.stream().allocator().use().peak_bytes);
  }
  fmt::print("peak bytes with recompute none, attention, full: {} {} {}\n", peaks[0], peaks[1],
             peaks[2]);
  BOOST_TEST(peaks[1] < peaks[0]);
  BOOST_TEST(peaks[2] < peaks[1]);
}

// Written into a program, a recomputation stands between forward and backward: until then the
// inputs of the parts alone are kept, from then on what a plain forward keeps.
BOOST_AUTO_TEST_CASE(a_recomputation_of_its_own_gives_the_same_gradients) {
  Stream stream(inline_stream());
  const auto run = [&](bool keeps_input, std::vector<std::size_t>& held) {
    auto model = must(StageModel::create(small_traits(4), {0, 4, true, true, 0, 1}, {}, stream));
    MicroBatchState state;
    state.batch = random_batch(stream, 2, 100, 3);
    state.keeps_input = keeps_input;
    std::vector<float> gradients;
    stream.submit([&] {
      model->parameters().initialize(stream, 1);
      for (int warm = 0; warm < 2; ++warm) {  // the first makes tables and scratch
        model->begin_step();
        const std::size_t before = stream.allocator().use().live_bytes;
        const auto hold = [&] { held.push_back(stream.allocator().use().live_bytes - before); };
        held.clear();
        Steps forward = model->forward(state);
        run_alone(forward);
        hold();
        if (keeps_input) {
          Steps recompute = model->recompute(state);
          run_alone(recompute);
        }
        hold();
        Steps backward = model->backward(state);
        run_alone(backward);
        hold();
      }
      const Tensor& flat = model->parameters().gradients();
      gradients.assign(flat.data<float>(), flat.data<float>() + flat.element_count());
    });
    return gradients;
  };
  std::vector<std::size_t> plain, recomputed;
  BOOST_TEST((run(false, plain) == run(true, recomputed)));
  BOOST_TEST(recomputed[0] < plain[0] / 2);
  BOOST_TEST(recomputed[1] == plain[1]);
  BOOST_TEST(recomputed[2] == plain[2]);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_made_is_refused) {
  const ModelTraits traits = small_traits();
  Stream stream(inline_stream());
  const StageSlice third{0, 2, true, true, 0, 3};
  const auto model = StageModel::create(traits, third, {}, stream);
  BOOST_REQUIRE(!model.ok());
  BOOST_TEST(model.error().message.find("num_attention_heads") == 0U);
  StageOptions options;
  options.loss = std::make_shared<NoLoss>();
  const StageSlice half{0, 2, true, true, 0, 2};
  const auto sharded = StageModel::create(traits, half, options, stream);
  BOOST_REQUIRE(!sharded.ok());
  BOOST_TEST(sharded.error().message.find("grid.tp") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(one_token_at_a_time_equals_a_prefill) {
  TestGrid whole(small_traits(), {}), stepwise(small_traits(), {});
  whole.initialize(5);
  stepwise.initialize(5);
  const std::vector<std::int32_t> ids = random_ids(40, 9);
  const std::vector<float> wanted = whole.generate(ids, 64);
  std::vector<float> got;
  for (const std::int32_t id : ids) got = stepwise.generate({id}, 64);
  BOOST_TEST(distance(wanted, got) <= 1e-5);
}

// A shard that holds back a reduction would hang its stage: one shard declares the same ones.
BOOST_AUTO_TEST_CASE(reductions_of_one_micro_batch) {
  const ModelTraits traits = small_traits();
  Stream stream(inline_stream());
  auto model = must(StageModel::create(traits, {0, 2, true, true, 0, 1}, {}, stream));
  stream.submit([&] { model->parameters().initialize(stream, 1); });
  MicroBatchState state;
  state.batch = random_batch(stream, 1, 8, 4);
  Steps steps = model->forward(state);
  int sums = 0;
  stream.submit([&] {
    while (steps.advance()) ++sums;
  });
  BOOST_TEST(sums == 5);  // embedding, two layers of two halves
  BOOST_TEST(state.loss_sum > 0.0);
}
