// The parameters, gradients and tensor shards that make_optimizers.py's trajectories are of.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/elementwise.hpp"
#include "models/optimizer.hpp"

namespace collie::testing {

struct SceneParameter {
  const char* name;
  std::int64_t rows, cols;
  bool is_vector;
};
inline constexpr std::array<SceneParameter, 4> scene_parameters = {{
    {"embedding", 10, 16, false},
    {"layers.0.matrix", 24, 16, false},
    {"layers.0.wide", 8, 24, false},
    {"layers.0.vector", 20, 1, true},
}};

// The script's generator.
inline std::vector<double> draws(std::uint64_t seed, std::int64_t count) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    values.push_back((static_cast<double>(seed >> 41) - 4194304.0) / 4194304.0);
  }
  return values;
}

inline std::vector<double> scene_initial(std::size_t place) {
  const SceneParameter& of = scene_parameters[place];
  return draws(place, of.rows * of.cols);
}
inline std::vector<double> scene_gradient(int step, std::size_t place) {
  const SceneParameter& of = scene_parameters[place];
  const std::uint64_t seed = 1000 * static_cast<std::uint64_t>(step) + place;
  std::vector<double> values = draws(seed, of.rows * of.cols);
  const std::vector<double> lasting = draws(1'000'001'000U + place, of.rows * of.cols);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = (0.5 + step % 5) * 0.125 * values[i] + 0.125 * lasting[i];
  }
  return values;
}

// Embedding and matrix are cut by rows, of four shards two and two hold the same half of the
// matrix; wide is cut by columns; of two shards each has half of the vector, four hold all of it.
inline std::vector<ParameterSpec> scene_specs(int rank, int shards) {
  std::vector<ParameterSpec> specs;
  for (const SceneParameter& of : scene_parameters) {
    ParameterSpec& spec = specs.emplace_back();
    spec.name = of.name;
    spec.hf.tensor = "model." + spec.name + ".weight";
    spec.rows = spec.row_end = of.rows;
    spec.cols = spec.col_end = of.cols;
    spec.is_vector = of.is_vector;
    spec.decay = !of.is_vector;
  }
  const std::int64_t most = (10 + shards - 1) / shards;
  specs[0].row_begin = most * rank;
  specs[0].row_end = std::min<std::int64_t>(10, most * (rank + 1));
  const int halves = std::min(shards, 2), holders = shards / halves;
  specs[1].row_begin = 24 / halves * (rank / holders);
  specs[1].row_end = specs[1].row_begin + 24 / halves;
  specs[1].owned = rank % holders == 0;
  if (holders > 1) {
    specs[1].gradient_group_begin = rank / holders * holders;
    specs[1].gradient_group_end = specs[1].gradient_group_begin + holders;
  }
  specs[2].col_begin = 24 / shards * rank;
  specs[2].col_end = specs[2].col_begin + 24 / shards;
  if (shards == 2) {
    specs[3].row_begin = 10 * rank;
    specs[3].row_end = specs[3].row_begin + 10;
  } else {
    specs[3].owned = rank == 0;
  }
  return specs;
}

struct SceneOptions {
  OptimizerOptions optimizer;
  double learning_rate = 0.01;
  int shards = 1;
  DType compute = DType::f32;
  int threads = 1;
  double gradients_too_large_by = 1.0;  // undone by the step's gradient_scale
  std::vector<StoreRange> ranges = {};  // none: all
};

class Scene {
 public:
  explicit Scene(SceneOptions options)
      : options_(std::move(options)),
        stream_({.device = {},
                 .name = "scene",
                 .threads = options_.threads,
                 .inline_execution = true}) {
    for (int rank = 0; rank < options_.shards; ++rank) {
      shards_.push_back(std::make_unique<Parameters>(
          stream_.allocator(), scene_specs(rank, options_.shards), options_.compute, true));
      Parameters& shard = *shards_.back();
      auto made =
          options_.ranges.empty()
              ? make_optimizer(options_.optimizer, shard, stream_.allocator())
              : make_optimizer(options_.optimizer, shard, stream_.allocator(), options_.ranges);
      COLLIE_CHECK(made.ok(), "{}", made.error().message);
      optimizers_.push_back(std::move(made).value());
      for (std::size_t place = 0; place < scene_parameters.size(); ++place) {
        fill(shard.value(static_cast<int>(place)), shard, place, scene_initial(place), 1.0);
      }
      shard.refresh_compute(stream_);
    }
  }

  void run(int steps) {
    stream_.submit([&] {
      for (int i = 0; i < steps; ++i) step(++steps_done_);
    });
  }
  int pauses() const { return pauses_; }
  Parameters& shard(std::size_t rank) { return *shards_[rank]; }
  Optimizer& optimizer(std::size_t rank) { return *optimizers_[rank]; }

  // The whole parameter; all shards that hold an element must agree.
  std::vector<float> whole(std::size_t place) const {
    const SceneParameter& of = scene_parameters[place];
    std::vector<float> values(static_cast<std::size_t>(of.rows * of.cols));
    std::vector<bool> seen(values.size());
    for (const auto& shard : shards_) {
      const Tensor local = shard->value(static_cast<int>(place));
      for (std::int64_t i = 0; i < local.element_count(); ++i) {
        const std::size_t at = global_index(*shard, place, i);
        const float value = local.data<float>()[i];
        COLLIE_CHECK(!seen[at] || values[at] == value, "holders of {} differ", of.name);
        values[at] = value;
        seen[at] = true;
      }
    }
    return values;
  }

 private:
  static std::size_t global_index(const Parameters& shard, std::size_t place, std::int64_t local) {
    const ParameterSpec& spec = shard.specs()[place];
    const std::int64_t row = local / spec.local_cols(), col = local % spec.local_cols();
    return static_cast<std::size_t>((spec.row_begin + row) * spec.cols + spec.col_begin + col);
  }
  static void fill(Tensor local, const Parameters& shard, std::size_t place,
                   const std::vector<double>& whole, double factor) {
    for (std::int64_t i = 0; i < local.element_count(); ++i) {
      local.mutable_data<float>()[i] =
          static_cast<float>(factor * whole[global_index(shard, place, i)]);
    }
  }
  void fill_gradients(int number, double factor) {
    for (const auto& shard : shards_) {
      for (std::size_t place = 0; place < scene_parameters.size(); ++place) {
        fill(shard->gradient(static_cast<int>(place)), *shard, place, scene_gradient(number, place),
             factor);
      }
    }
  }

  void step(int number) {
    if (optimizers_[0]->wants_hessian(number - 1)) {
      fill_gradients(2000 + number, 1.0);
      for (std::size_t rank = 0; rank < shards_.size(); ++rank) {
        optimizers_[rank]->update_hessian(stream_, 4096.0, *shards_[rank]);
      }
    }
    fill_gradients(number, options_.gradients_too_large_by);
    const OptimizerStep update{number, options_.learning_rate,
                               1.0 / options_.gradients_too_large_by};
    std::vector<Steps> under_way;
    for (std::size_t rank = 0; rank < shards_.size(); ++rank) {
      under_way.push_back(optimizers_[rank]->step(stream_, update, *shards_[rank]));
    }
    while (advance_all(under_way)) reduce(under_way);
  }
  bool advance_all(std::vector<Steps>& under_way) {
    int paused = 0;
    for (Steps& steps : under_way) paused += steps.advance() ? 1 : 0;
    COLLIE_CHECK(paused == 0 || paused == options_.shards, "{} shards of {} pause", paused,
                 options_.shards);
    return paused > 0;
  }
  void reduce(std::vector<Steps>& under_way) {
    ++pauses_;
    std::vector<Tensor> parts;
    for (Steps& steps : under_way) {
      parts.push_back(*steps.reduction().tensor);
      parts.back().freeze();
    }
    for (Steps& steps : under_way) {
      const Reduction& reduction = steps.reduction();
      if (reduction.op == ReduceOp::gather) {
        *reduction.parts = parts;
        continue;
      }
      Tensor sum = stream_.allocate(DType::f32, reduction.tensor->shape());
      kernels::sum_in_order(stream_, parts, sum);
      *reduction.tensor = std::move(sum);
    }
  }

  SceneOptions options_;
  Stream stream_;
  std::vector<std::unique_ptr<Parameters>> shards_;
  std::vector<std::unique_ptr<Optimizer>> optimizers_;
  int steps_done_ = 0;
  int pauses_ = 0;
};

}  // namespace collie::testing
