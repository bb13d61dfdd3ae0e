// Parameters that several shards hold (replicas, norms and key/value heads over tensor shards, the
// last stage's copy of a tied embedding) are updated by each holder on its own. The parameter hash
// counts one holder only, so here all of them are compared, byte for byte.
#define BOOST_TEST_MODULE drift
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <map>
#include <utility>

#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

// Every element that was met, by (row, column) of the whole parameter: its bytes and first holder.
class Census {
 public:
  void add(const std::string& holder, Parameters& parameters, bool compute) {
    for (int index = 0; index < parameters.count(); ++index) {
      const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
      if (parameters.is_alias(index)) continue;
      const std::string& name = spec.tied_to.empty() ? spec.name : spec.tied_to;
      add(holder, name, spec, compute ? parameters.compute(index) : parameters.value(index));
    }
  }
  std::int64_t compared() const { return compared_; }
  const std::vector<std::string>& differences() const { return differences_; }

 private:
  struct Element {
    std::string bytes;
    std::string holder;
  };

  void add(const std::string& holder, const std::string& name, const ParameterSpec& spec,
           const Tensor& values) {
    const std::size_t width = values.size_bytes() / static_cast<std::size_t>(spec.local_count());
    const auto* bytes = reinterpret_cast<const char*>(values.raw());
    std::map<std::pair<std::int64_t, std::int64_t>, Element>& known = elements_[name];
    std::string other;
    for (std::int64_t at = 0; at < spec.local_count(); ++at, bytes += width) {
      const std::pair place(spec.row_begin + at / spec.local_cols(),
                            spec.col_begin + at % spec.local_cols());
      const auto [found, is_new] = known.try_emplace(place, Element{{bytes, width}, holder});
      if (is_new) continue;
      ++compared_;
      if (std::memcmp(found->second.bytes.data(), bytes, width) != 0) other = found->second.holder;
    }
    if (!other.empty()) differences_.push_back(name + " of " + holder + " and of " + other);
  }

  std::map<std::string, std::map<std::pair<std::int64_t, std::int64_t>, Element>> elements_;
  std::int64_t compared_ = 0;
  std::vector<std::string> differences_;
};

// The parameters of all shards of a grid, as they are now; compute: the copy that kernels read.
Census take_census(const TinyGrid& grid, bool compute = false) {
  Census census;
  const Grid& shape = grid.run().grid;
  for (int index = 0; index < shape.shard_count(); ++index) {
    ModelExecutor& executor = *grid.executors()[static_cast<std::size_t>(index)];
    census.add(to_string(shard_at(shape, index)), executor.parameters(), compute);
  }
  return census;
}

void check_run(const TinyRun& run) {
  TinyGrid grid(run);
  auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = 5});
  train(*world, grid, 20);
  for (const bool compute : {false, true}) {
    const Census census = take_census(grid, compute);
    for (const std::string& difference : census.differences()) BOOST_ERROR(difference);
    // Stages of one shard share nothing but a tied embedding.
    BOOST_TEST((census.compared() > 0) == (run.grid.dp * run.grid.tp > 1 || run.tied));
  }
}

void check_family(const std::string& family, bool tied) {
  for (const Grid& grid :
       {Grid{3, 1, 1}, Grid{1, 2, 1}, Grid{1, 4, 1}, Grid{1, 1, 3}, Grid{2, 2, 2}, Grid{2, 4, 2}}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      BOOST_TEST_CONTEXT(family << " dp " << grid.dp << " tp " << grid.tp << " pp " << grid.pp
                                << " " << to_string(dtype)) {
        check_run({.grid = grid, .family = family, .tied = tied, .dtype = dtype});
      }
    }
  }
}

void flip_a_bit(Parameters& parameters, std::string_view name) {
  Tensor value = parameters.value(parameters.find(name));
  std::uint32_t bits = 0;
  std::memcpy(&bits, value.raw(), sizeof(bits));
  bits ^= 1U;
  std::memcpy(value.mutable_raw(), &bits, sizeof(bits));
}

}  // namespace

BOOST_AUTO_TEST_CASE(llama_holders_agree) {
  check_family("llama", false);
}
BOOST_AUTO_TEST_CASE(qwen2_holders_agree) {
  check_family("qwen2", true);
}
BOOST_AUTO_TEST_CASE(qwen3_holders_agree) {
  check_family("qwen3", true);
}
BOOST_AUTO_TEST_CASE(gpt2_holders_agree) {
  check_family("gpt2", true);
}

// One bit of one holder is found: a replica's weight, a norm and a key/value head of a tensor
// shard, the head's copy of the embedding.
BOOST_AUTO_TEST_CASE(a_flipped_bit_is_found) {
  const Grid where{2, 4, 2};
  const auto index = [&](const ShardId& shard) { return index_of(where, shard); };
  const std::vector<std::pair<int, std::string>> culprits = {
      {index({.replica = 1, .stage = 0, .tensor = 2}), "layers.0.mlp.down"},
      {index({.replica = 1, .stage = 0, .tensor = 2}), "layers.0.mlp.norm"},
      {index({.replica = 0, .stage = 1, .tensor = 3}), "layers.3.attention.k"},
      {index({.replica = 0, .stage = 1, .tensor = 0}), "head"}};
  TinyGrid grid({.grid = where, .family = "qwen3", .tied = true});
  BOOST_TEST(take_census(grid).differences().empty());
  for (const auto& [shard, name] : culprits) {
    Parameters& parameters = grid.executors()[static_cast<std::size_t>(shard)]->parameters();
    flip_a_bit(parameters, name);
    BOOST_TEST(!take_census(grid).differences().empty(), name);
    flip_a_bit(parameters, name);
  }
}
