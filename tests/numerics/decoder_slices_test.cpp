// Micro-batches in slices along the sequence: the same loss and gradients as PyTorch's of whole
// ones, and to the last bit the same whatever is recomputed or cut into stages.
#define BOOST_TEST_MODULE decoder_slices
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tests/numerics/decoder_support.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

constexpr double loss_tolerance = 1e-6;
constexpr double gradient_tolerance = 2e-5;
constexpr double bf16_loss_tolerance = 2e-3;
constexpr double bf16_gradient_tolerance = 2e-2;

const std::vector<std::string> every_family = {"llama2", "llama3", "llama3_tied", "mistral",
                                               "qwen2",  "qwen3",  "gpt2"};
const std::vector<std::string> packed_families = {"llama3", "gpt2"};
const std::vector<int> slice_counts = {2, 3, 7};

GridOptions in_slices(int slices, DType dtype = DType::f32) {
  GridOptions options;
  options.slices = slices;
  options.stage.compute_dtype = dtype;
  return options;
}

struct Outcome {
  double loss = 0.0;
  std::map<std::string, std::vector<float>> gradients;
};

Outcome train(const std::string& family, GridOptions options) {
  const ModelTraits traits = must(read_model_config(golden_directory(family)));
  TestGrid grid(traits, std::move(options));
  grid.load(golden_directory(family));
  const Golden golden(family, "golden.safetensors");
  const double loss = grid.step({golden_batch(grid.stream(), golden)});
  return {loss, grid.gradients()};
}

void check(const std::string& family, const std::string& file, TestGrid& grid, double mean_loss,
           double tolerance_loss, double tolerance_gradient) {
  const ModelTraits traits = must(read_model_config(golden_directory(family)));
  const Golden golden(family, file);
  const WorstGradient worst = compare_gradients(traits, golden, grid.gradients());
  const double loss_error = std::abs(mean_loss - golden.loss()) / std::abs(golden.loss());
  fmt::print("{:12} loss {:.1e}, gradients {:.1e} ({})\n", family, loss_error, worst.error,
             worst.name);
  BOOST_TEST(loss_error <= tolerance_loss);
  BOOST_TEST(worst.error <= tolerance_gradient);
}

void require_same(const Outcome& a, const Outcome& b) {
  BOOST_TEST(a.loss == b.loss);
  BOOST_TEST(same_bits(a.gradients, b.gradients));
}

}  // namespace

BOOST_DATA_TEST_CASE(float32_matches_pytorch, data::make(every_family) * data::make(slice_counts),
                     family, slices) {
  TestGrid grid(must(read_model_config(golden_directory(family))), in_slices(slices));
  grid.load(golden_directory(family));
  const MicroBatch batch = golden_batch(grid.stream(), Golden(family, "golden.safetensors"));
  const double loss = grid.step({batch}) / static_cast<double>(batch.valid_tokens);
  check(family, "golden.safetensors", grid, loss, loss_tolerance, gradient_tolerance);
}

BOOST_DATA_TEST_CASE(tensor_shards_match_pytorch, data::make(every_family), family) {
  GridOptions options = in_slices(3);
  options.tp = 2;
  TestGrid grid(must(read_model_config(golden_directory(family))), options);
  grid.load(golden_directory(family));
  const MicroBatch batch = golden_batch(grid.stream(), Golden(family, "golden.safetensors"));
  const double loss = grid.step({batch}) / static_cast<double>(batch.valid_tokens);
  check(family, "golden.safetensors", grid, loss, loss_tolerance, gradient_tolerance);
}

BOOST_DATA_TEST_CASE(packed_documents_match_pytorch,
                     data::make(packed_families) * data::make(slice_counts), family, slices) {
  TestGrid grid(must(read_model_config(golden_directory(family))), in_slices(slices));
  grid.load(golden_directory(family));
  const Golden golden(family, "packed.safetensors");
  const MicroBatch batch = make_batch(grid.stream(), 1, golden.ids("input_ids"),
                                      golden.ids("labels"), golden.ids("position_ids"));
  const double loss = grid.step({batch}) / static_cast<double>(batch.valid_tokens);
  check(family, "packed.safetensors", grid, loss, loss_tolerance, gradient_tolerance);
}

BOOST_DATA_TEST_CASE(bfloat16_matches_pytorch, data::make(every_family), family) {
  TestGrid grid(must(read_model_config(golden_directory(family))), in_slices(3, DType::bf16));
  grid.load(golden_directory(family));
  grid.each([&](StageModel& model) { make_exact_in_bf16(model.parameters(), grid.stream()); });
  const MicroBatch batch = golden_batch(grid.stream(), Golden(family, "golden.safetensors"));
  const double loss = grid.step({batch}) / static_cast<double>(batch.valid_tokens);
  check(family, "bf16.safetensors", grid, loss, bf16_loss_tolerance, bf16_gradient_tolerance);
}

BOOST_DATA_TEST_CASE(ways_to_run_are_bit_identical,
                     data::make(every_family) * data::make({false, true}), family, is_bf16) {
  const GridOptions options = in_slices(3, is_bf16 ? DType::bf16 : DType::f32);
  const Outcome plain = train(family, options);
  for (const Recompute recompute : {Recompute::attention, Recompute::full}) {
    GridOptions changed = options;
    changed.stage.recompute = recompute;
    require_same(plain, train(family, changed));
    changed.cuts = {1};
    changed.fused_backward = true;
    require_same(plain, train(family, changed));
  }
  GridOptions whole = options;
  whole.slices = 1;
  BOOST_TEST(!same_bits(plain.gradients, train(family, whole).gradients));
}

// A second step on the same grid must not see anything of the first.
BOOST_AUTO_TEST_CASE(steps_start_afresh) {
  TestGrid grid(must(read_model_config(golden_directory("qwen3"))), in_slices(3));
  grid.load(golden_directory("qwen3"));
  const MicroBatch batch = golden_batch(grid.stream(), Golden("qwen3", "golden.safetensors"));
  grid.step({batch});
  const auto first = grid.gradients();
  grid.step({batch});
  BOOST_TEST(same_bits(first, grid.gradients()));
}
