// Every grid up to eight actors trains like a single one.
#define BOOST_TEST_MODULE grids
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

// The same global batch of 8 rows on every grid: dp x micro-batches is constant.
TinyRun run_on(const Grid& grid, const std::string& family, bool tied) {
  TinyRun run{.grid = grid, .micro_batches = 8 / grid.dp, .family = family, .tied = tied};
  return run;
}

void check_family(const std::string& family, bool tied) {
  const TinyOutcome alone = simulate(run_on({1, 1, 1}, family, tied), 0, 20);
  double worst = 0.0;
  for (const int dp : {1, 2, 4, 8}) {
    for (const int tp : {1, 2, 4}) {
      for (int pp = 1; pp <= 5; ++pp) {
        if (dp * tp * pp > 8) continue;
        const TinyOutcome grid = simulate(run_on({dp, tp, pp}, family, tied), 3, 20);
        for (std::size_t step = 0; step < grid.losses.size(); ++step) {
          const double error =
              std::abs(grid.losses[step] - alone.losses[step]) / alone.losses[step];
          worst = std::max(worst, error);
          BOOST_CHECK_MESSAGE(error < 1e-5, family << " dp " << dp << " tp " << tp << " pp " << pp
                                                   << " step " << step << ": " << error);
        }
      }
    }
  }
  BOOST_TEST_MESSAGE(family << ": worst relative difference of the loss " << worst);
}

}  // namespace

BOOST_AUTO_TEST_CASE(llama_with_replicated_key_value_heads) {
  check_family("llama", false);
}
BOOST_AUTO_TEST_CASE(qwen3_with_query_and_key_norms_and_tied_embeddings) {
  check_family("qwen3", true);
}
BOOST_AUTO_TEST_CASE(qwen2_with_biases) {
  check_family("qwen2", false);
}
BOOST_AUTO_TEST_CASE(gpt2_with_tied_embeddings) {
  check_family("gpt2", true);
}
