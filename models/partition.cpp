#include "models/partition.hpp"

#include <algorithm>
#include <limits>

#include "models/flops.hpp"

namespace collie {

namespace {

constexpr double unreachable = std::numeric_limits<double>::infinity();

// Dynamic programming over (stages done, layers done).
class Partitioner {
  template <class Table>
  auto& at(Table& table, int stage, int layer) const {
    return table[static_cast<std::size_t>(stage * (layers_ + 1) + layer)];
  }

 public:
  Partitioner(const PartitionCosts& costs, int stages)
      : costs_(costs), stages_(stages), layers_(static_cast<int>(costs.layers.size())) {
    sums_.push_back(0.0);
    for (const double cost : costs.layers) sums_.push_back(sums_.back() + cost);
  }

  std::vector<StageSlice> solve() {
    const auto larger = [](double total, double cost) { return std::max(total, cost); };
    const auto squares = [](double total, double cost) { return total + cost * cost; };
    run(unreachable, larger);
    // A hair of slack, so that sums in another order still count as the best.
    run(at(best_, stages_, layers_) * (1.0 + 1e-12), squares);
    return trace();
  }

 private:
  double stage_cost(int stage, int begin, int end) const {
    return sums_[static_cast<std::size_t>(end)] - sums_[static_cast<std::size_t>(begin)] +
           (stage == 0 ? costs_.embedding : 0.0) + (stage == stages_ - 1 ? costs_.head : 0.0);
  }
  int fewest(int stage) const { return stage > 0 && stage == stages_ - 1 ? 0 : 1; }

  template <class Combine>
  void run(double cost_max, Combine combine) {
    const auto size = static_cast<std::size_t>((stages_ + 1) * (layers_ + 1));
    best_.assign(size, unreachable);
    cut_.assign(size, 0);
    at(best_, 0, 0) = 0.0;
    for (int stage = 0; stage < stages_; ++stage) {
      for (int end = 0; end <= layers_; ++end) {
        for (int begin = 0; begin + fewest(stage) <= end; ++begin) {
          const double cost = stage_cost(stage, begin, end);
          const double total = combine(at(best_, stage, begin), cost);
          if (cost > cost_max || total >= at(best_, stage + 1, end)) continue;
          at(best_, stage + 1, end) = total;
          at(cut_, stage + 1, end) = begin;
        }
      }
    }
  }

  std::vector<StageSlice> trace() const {
    std::vector<StageSlice> slices(static_cast<std::size_t>(stages_));
    int end = layers_;
    for (int stage = stages_ - 1; stage >= 0; --stage) {
      const int begin = at(cut_, stage + 1, end);
      slices[static_cast<std::size_t>(stage)] = {.layer_begin = begin,
                                                 .layer_end = end,
                                                 .has_embedding = stage == 0,
                                                 .has_head = stage == stages_ - 1};
      end = begin;
    }
    return slices;
  }

  const PartitionCosts& costs_;
  int stages_, layers_;
  std::vector<double> sums_;
  std::vector<double> best_;
  std::vector<int> cut_;
};

}  // namespace

Result<std::vector<StageSlice>> partition_layers(const PartitionCosts& costs, int stages) {
  COLLIE_CHECK(stages >= 1);
  const auto layers = static_cast<std::int64_t>(costs.layers.size());
  const std::int64_t stages_max = layers == 0 ? 0 : layers + 1;
  if (stages > stages_max) {
    return make_error(ErrorCode::invalid_config,
                      "{} pipeline stages for a model of {} layers: set grid.pp to at most {}",
                      stages, layers, stages_max);
  }
  return Partitioner(costs, stages).solve();
}

Result<std::vector<StageSlice>> partition_model(const ModelTraits& traits, int stages,
                                                std::int64_t sequence) {
  PartitionCosts costs;
  costs.layers.assign(static_cast<std::size_t>(traits.layer_count),
                      layer_forward_flops_per_token(traits, sequence));
  costs.head = head_forward_flops_per_token(traits);
  return partition_layers(costs, stages);
}

}  // namespace collie
