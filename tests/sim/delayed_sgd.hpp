// Delayed SGD written down sequentially: one micro-batch after the other, each stage's forward and
// backward with the versions that the paper says, each delay correction in the paper's own terms.
// Knows nothing of programs, actors and the runtime's corrections.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/elementwise.hpp"
#include "tests/sim/tiny_grid.hpp"

namespace collie::testing {

inline constexpr int async_rounds = 3;
inline constexpr double async_clip = 0.5;
inline double async_rate(int round) {
  return 1e-2 / (1 + round);
}

enum class Fix { none, pipemare, spec_train, xpipe, pipe_optim, nesterov };

// Which version of its weights stage s of `stages` reads for micro-batch j; `group` micro-batches
// make an update.
struct Rule {
  const char* schedule;
  int group;
  int (*forward)(int s, int stages, int j, int group);
  int (*backward)(int s, int stages, int j, int group);
  Fix fix = Fix::none;
  const char* optimizer = "adamw";
  int warm_up = 0;  // synchronous micro-batches, in groups of one
  DType dtype = DType::f32;
  // PipeOptim: updates between what a forward of the stage reads and its own update; null: the
  // paper's, N - 1 - k micro-batches.
  int (*horizon)(int s, int stages) = nullptr;
};

using Weights = std::vector<float>;

// a * x + b * y, each product rounded.
inline Weights blended(float a, const Weights& x, float b, const Weights& y) {
  Weights out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float left = a * x[i];
    const float right = b * y[i];
    out[i] = left + right;
  }
  return out;
}

class DelayedSgd {
 public:
  // stages: of the model, whoever holds them.
  DelayedSgd(const TinyRun& run, const Rule& rule, int stages)
      : run_(run), rule_(rule), stream_(inline_stream()), memory_("oracle data") {
    const ModelTraits traits = parse_model_config(tiny_config(run), "tiny").value();
    const auto slices = partition_model(traits, stages, tiny_sequence).value();
    for (const StageSlice& slice : slices) {
      Stage& stage = stages_.emplace_back();
      StageOptions options;
      options.compute_dtype = rule.dtype;
      stage.model = StageModel::create(traits, slice, options, stream_).value();
      stage.optimizer = make_optimizer({.name = rule.optimizer, .weight_decay = 0.1},
                                       stage.model->parameters(), stream_.allocator())
                            .value();
    }
    stream_.submit([this] {
      for (Stage& stage : stages_) {
        stage.model->parameters().initialize(stream_, 7);
        stage.movement.assign(values_of(stage).size(), 0.0F);
      }
    });
  }

  void round(int step) {
    stream_.submit([this, step] { run_round(step); });
  }
  std::span<const float> values(std::size_t stage) const {
    const Tensor& values = stages_[stage].model->parameters().values();
    return {values.data<float>(), static_cast<std::size_t>(values.element_count())};
  }

 private:
  struct Version {
    Weights weights, direction;
  };
  struct Stage {
    std::unique_ptr<StageModel> model;
    std::unique_ptr<Optimizer> optimizer;
    std::vector<Version> versions;  // of this round
    Weights plain;                  // w_t
    Weights movement;               // PipeMare: mean movement; Nesterov: the last one
    int updates = 0;
  };

  static StreamOptions inline_stream() {
    StreamOptions options;
    options.inline_execution = true;
    return options;
  }

  int count() const { return static_cast<int>(stages_.size()); }
  static Weights values_of(Stage& stage) {
    const Tensor& values = stage.model->parameters().values();
    return {values.data<float>(), values.data<float>() + values.element_count()};
  }

  void run_round(int step) {
    for (Stage& stage : stages_) {
      stage.versions.clear();
      keep_version(stage);
      stage.model->begin_step();
    }
    for (int j = 0; j < run_.micro_batches; ++j) {
      learn(step, j);
      if ((j + 1) % rule_.group != 0) continue;
      for (int s = 0; s < count(); ++s) update(step, j, s);
    }
  }

  void keep_version(Stage& stage) {
    stage.plain = values_of(stage);
    // Nesterov's readers look ahead.
    stage.versions.push_back({rule_.fix == Fix::nesterov
                                  ? blended(1.0F, stage.plain, 0.9F, stage.movement)
                                  : stage.plain,
                              direction_of(stage)});
  }
  Weights direction_of(Stage& stage) const {
    Weights out(stage.movement.size(), 0.0F);
    const std::vector<OptimizerState> state = stage.optimizer->state();
    if (stage.updates == 0) return out;
    if (rule_.optimizer == std::string_view("sgd")) {
      const float* velocity = std::as_const(*state[0].values).data<float>();
      return {velocity, velocity + out.size()};
    }
    const float* m = std::as_const(*state[0].values).data<float>();
    const float* v = std::as_const(*state[1].values).data<float>();
    const auto scale_m = static_cast<float>(1.0 / (1.0 - std::pow(0.9, stage.updates)));
    const auto scale_v = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(0.999, stage.updates)));
    const Weights weights = values_of(stage);
    for (const DecayRange& range : decay_ranges(stage.model->parameters())) {
      const float decay = range.decay ? 0.1F : 0.0F;
      for (auto i = static_cast<std::size_t>(range.begin); i < static_cast<std::size_t>(range.end);
           ++i) {
        const float root = std::sqrt(v[i]) * scale_v + 1e-8F;
        out[i] = m[i] * scale_m / root + decay * weights[i];
      }
    }
    return out;
  }

  void load(Stage& stage, const Weights& weights) {
    Parameters& parameters = stage.model->parameters();
    std::memcpy(parameters.values().mutable_data<float>(), weights.data(),
                weights.size() * sizeof(float));
    parameters.refresh_compute(stream_);
  }

  // The papers' horizons, in micro-batches; a division rounded up makes updates of them.
  int updates_ahead(int micro_batches) const {
    return (micro_batches + rule_.group - 1) / rule_.group;
  }
  Weights predicted(const Version& version, int micro_batches, int step) const {
    const double ahead = updates_ahead(micro_batches) * async_rate(step);
    return blended(1.0F, version.weights, static_cast<float>(-ahead), version.direction);
  }
  const Version& version_at(int s, int j, bool is_forward) const {
    const auto& rule = is_forward ? rule_.forward : rule_.backward;
    int version = rule(s, count(), j, rule_.group);
    // The warm-up's micro-batches are trained on one after the other.
    version = j < rule_.warm_up ? j : std::max(version, rule_.warm_up);
    return stages_[static_cast<std::size_t>(s)].versions.at(static_cast<std::size_t>(version));
  }

  Weights forward_weights(int s, int j, int step) const {
    const Version& version = version_at(s, j, true);
    const int k = s, N = count();
    switch (rule_.fix) {
      case Fix::spec_train:
        return predicted(version, k / 2 + N - k - 1, step);
      case Fix::xpipe:  // what the first of the mini-batch saw
        return predicted(version_at(s, j / rule_.group * rule_.group, true), k / 2 + N - k - 1,
                         step);
      case Fix::pipe_optim:
        return predicted(version, rule_.horizon == nullptr ? N - 1 - k : rule_.horizon(k, N), step);
      default:
        return version.weights;
    }
  }
  Weights backward_weights(int s, int j, int step) const {
    const Version& version = version_at(s, j, false);
    const Stage& stage = stages_[static_cast<std::size_t>(s)];
    switch (rule_.fix) {
      case Fix::spec_train:
      case Fix::xpipe:
        return predicted(version, s / 2, step);
      case Fix::pipemare:
        if (j < rule_.warm_up) return version.weights;
        return blended(1.0F, version.weights, static_cast<float>(-delay(s)), stage.movement);
      default:
        return version.weights;
    }
  }
  int delay(int s) const { return 2 * (count() - 1 - s); }  // PipeMare, in updates

  void learn(int step, int j) {
    MicroBatch batch = tiny_batch(memory_, step, j, run_.rows);
    batch.loss_scale = 1.0F / static_cast<float>(tokens_of_group(step, j));
    std::vector<MicroBatchState> states(stages_.size());
    Tensor passed;
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      load(stages_[s], forward_weights(static_cast<int>(s), j, step));
      states[s].batch = batch;
      states[s].input_td = std::exchange(passed, Tensor());
      Steps steps = stages_[s].model->forward(states[s]);
      run_alone(steps);
      passed = std::exchange(states[s].output_td, Tensor());
    }
    for (std::size_t s = stages_.size(); s-- > 0;) {
      load(stages_[s], backward_weights(static_cast<int>(s), j, step));
      states[s].output_gradient = std::exchange(passed, Tensor());
      Steps steps = stages_[s].model->backward(states[s]);
      run_alone(steps);
      passed = std::exchange(states[s].input_gradient, Tensor());
    }
  }

  std::int64_t tokens_of_group(int step, int j) {
    std::int64_t tokens = 0;
    const int first = j / rule_.group * rule_.group;
    for (int k = first; k < first + rule_.group; ++k) {
      tokens += tiny_batch(memory_, step, k, run_.rows).valid_tokens;
    }
    return tokens;
  }

  void update(int step, int j, int s) {
    Stage& stage = stages_[static_cast<std::size_t>(s)];
    Parameters& parameters = stage.model->parameters();
    double squares = 0.0;
    for (int index = 0; index < parameters.count(); ++index) {
      squares += kernels::sum_of_squares(stream_, parameters.gradient(index));
    }
    const double norm = std::sqrt(squares);
    const double scale = norm > async_clip ? async_clip / (norm + 1e-6) : 1.0;
    if (rule_.fix == Fix::nesterov) {
      nesterov_update(stage, async_rate(step), scale);
    } else {
      plain_update(stage, s, rate_of(stage, step, j, s), scale);
    }
    ++stage.updates;
    keep_version(stage);
    stage.model->begin_step();
  }

  double rate_of(const Stage& stage, int step, int j, int s) const {
    const double rate = async_rate(step);
    if (rule_.fix != Fix::pipemare || j < rule_.warm_up) return rate;
    const double progress = std::min(stage.updates / 100.0, 1.0);
    return rate / std::pow(std::max(1, delay(s)), 1.0 - progress);
  }

  void plain_update(Stage& stage, int s, double rate, double scale) {
    const Weights before = stage.plain;
    load(stage, before);
    Steps update =
        stage.optimizer->step(stream_, {stage.updates + 1, rate, scale}, stage.model->parameters());
    run_alone(update);
    if (rule_.fix != Fix::pipemare || delay(s) == 0) return;
    const double keep = std::pow(std::exp(-2.0), 1.0 / delay(s));
    const Weights moved = blended(1.0F, values_of(stage), -1.0F, before);
    stage.movement =
        blended(static_cast<float>(keep), stage.movement, static_cast<float>(1.0 - keep), moved);
  }

  // w_{t+1} = w_t + d_t - rate (1 - gamma) g, with the weight decay of w_t + d_t in g.
  void nesterov_update(Stage& stage, double rate, double scale) {
    const Weights ahead = stage.versions.back().weights;
    Parameters& parameters = stage.model->parameters();
    const float* g = std::as_const(parameters.gradients()).data<float>();
    const double bounded = rate * (1.0 - 0.9);
    Weights next(ahead.size());
    for (const DecayRange& range : decay_ranges(parameters)) {
      const auto keep = static_cast<float>(1.0 - bounded * (range.decay ? 0.1 : 0.0));
      const auto take = static_cast<float>(-bounded * scale);
      for (auto i = static_cast<std::size_t>(range.begin); i < static_cast<std::size_t>(range.end);
           ++i) {
        const float kept = keep * ahead[i];
        const float taken = take * g[i];
        next[i] = kept + taken;
      }
    }
    stage.movement = blended(1.0F, next, -1.0F, stage.plain);
    load(stage, next);
  }

  TinyRun run_;
  Rule rule_;
  Stream stream_;
  Allocator memory_;
  std::vector<Stage> stages_;
};

}  // namespace collie::testing
