// A whole run of Sophia-G on a grid against one in float64 that was made without this project:
// tests/goldens/optimizers/make_sophia_run.py.
#define BOOST_TEST_MODULE sophia_reference
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "models/hf_model.hpp"
#include "runtime/json.hpp"
#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

constexpr int steps = 24;

std::string golden(const std::string& name) {
  return COLLIE_TESTS_DIR "/goldens/optimizers/sophia/" + name;
}

TinyRun reference_run(Grid grid) {
  TinyRun run;
  run.grid = grid;
  run.micro_batches = 4 / grid.dp;
  run.layers = 2;
  run.optimizer = "sophia";
  run.rho = 10.0;
  return run;
}

void load(const TinyGrid& grid, const std::string& name) {
  const auto directory = TensorDirectory::open(golden(name));
  BOOST_REQUIRE(directory.ok());
  for (ModelExecutor* executor : grid.executors()) {
    executor->stream().submit([&] {
      COLLIE_CHECK(
          load_parameters(*directory, grid.traits(), executor->parameters(), executor->stream())
              .ok(),
          "{} does not fit", name);
    });
    executor->stream().synchronize();
  }
}

WorldOptions with_one_document_a_row(TinyGrid& grid) {
  WorldOptions options = grid.options();
  options.batches = [source = options.batches](Mode mode, std::int64_t step, int replica, int mb) {
    MicroBatch batch = source(mode, step, replica, mb);
    for (std::int32_t t = 0; t < tiny_sequence; ++t) {
      batch.positions_t.mutable_data<std::int32_t>()[t] = t;
    }
    return batch;
  };
  return options;
}

// Norm of the difference over the norm, the worst parameter's. Stores of one layout.
double worst_difference(const Parameters& layout, const Tensor& ours, const Tensor& wanted) {
  double worst = 0.0;
  for (int index = 0; index < layout.count(); ++index) {
    if (layout.is_alias(index)) continue;
    const std::int64_t begin = layout.offset(index);
    const std::int64_t count = layout.specs()[static_cast<std::size_t>(index)].local_count();
    double difference = 0.0, squares = 1e-30;
    for (std::int64_t i = begin; i < begin + count; ++i) {
      difference += std::pow(double{ours.data<float>()[i]} - double{wanted.data<float>()[i]}, 2);
      squares += std::pow(double{wanted.data<float>()[i]}, 2);
    }
    worst = std::max(worst, std::sqrt(difference / squares));
  }
  return worst;
}

double worst_relative(const Json& wanted, const std::vector<double>& ours) {
  BOOST_REQUIRE(wanted.size() == ours.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    worst = std::max(worst, std::abs(ours[i] / wanted[i].get<double>() - 1.0));
  }
  return worst;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_run_is_that_of_the_published_algorithm) {
  const Json run = read_json(golden("run.json")).value();
  const TinyGrid final_values(reference_run({1, 1, 1})), curvature(reference_run({1, 1, 1}));
  load(final_values, "final");
  load(curvature, "hessian");
  for (const Grid& shape : {Grid{1, 1, 1}, Grid{1, 1, 2}, Grid{2, 1, 1}, Grid{1, 2, 1}}) {
    TinyGrid grid(reference_run(shape));
    load(grid, "initial");
    auto world = make_simulated_world(with_one_document_a_row(grid), grid.executors(), {.seed = 1});
    const TinyOutcome outcome = train(*world, grid, steps);
    const double losses = worst_relative(run.at("losses"), outcome.losses);
    const double norms = worst_relative(run.at("norms"), outcome.norms);
    fmt::print("dp {} tp {} pp {}: losses {:.1e} norms {:.1e}\n", shape.dp, shape.tp, shape.pp,
               losses, norms);
    BOOST_TEST(losses < 1e-6);
    BOOST_TEST(norms < 1e-5);
    if (shape.tp * shape.pp > 1) continue;
    ModelExecutor& executor = *grid.executors().front();
    const Parameters& layout = executor.parameters();
    const double values = worst_difference(layout, executor.parameters().values(),
                                           final_values.executors().front()->parameters().values());
    const double hessian = worst_difference(layout, *executor.optimizer()->state().at(1).values,
                                            curvature.executors().front()->parameters().values());
    fmt::print("  parameters {:.1e} curvature {:.1e}\n", values, hessian);
    // Float32: a step of rate * m / (rho * h) magnifies the rounding of m and h.
    BOOST_TEST(values < 2e-6);
    BOOST_TEST(hessian < 1e-5);
  }
}
