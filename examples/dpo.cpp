// Direct preference optimisation (Rafailov et al. 2023): the model learns to prefer the chosen of
// two answers to the rejected one, measured against the model it started from, which is evaluated
// once.
//
//   build/release/examples/example_dpo model.json data.train=pairs.jsonl train.lr=1e-5
//
// pairs.jsonl: {"input": prompt, "output": chosen}, then {"input": prompt, "output": rejected}, ...
// A pair's loss weighs as much as it has tokens. grid.tp must be 1; dp and pp are free.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "actors/progress.hpp"
#include "actors/trainer.hpp"

namespace {

struct PreferenceLoss final : collie::Loss {
  std::vector<double> start;  // of each row, minus the log-likelihood under the start model
  double beta = 0.1;

  std::int64_t rows_together() const override { return 2; }
  void forward_backward(collie::Stream&, collie::Tensor&, const collie::Tensor&, float,
                        collie::Tensor&) const override {}
  void forward_backward_of(collie::Stream& stream, collie::Tensor& logits_cv,
                           const collie::Tensor& labels_c, float scale, collie::Tensor& losses_c,
                           const collie::LossChunk& chunk) const override {
    const std::int64_t vocabulary = logits_cv.dim(1), count = chunk.sequence * vocabulary;
    stream.parallel_for(logits_cv.dim(0) / (2 * chunk.sequence), [&](std::int64_t pair, int) {
      const std::int64_t token = 2 * pair * chunk.sequence;
      float* const logits = logits_cv.mutable_data<float>() + token * vocabulary;
      const std::int32_t* const labels = labels_c.data<std::int32_t>() + token;
      double valid = 0.0;
      double gain = one_row(logits, labels, chunk, vocabulary, valid);
      gain -= one_row(logits + count, labels + chunk.sequence, chunk, vocabulary, valid);
      const auto row =
          static_cast<std::size_t>(chunk.first_row + (chunk.token_begin + token) / chunk.sequence);
      gain += start[row % start.size()] - start[(row + 1) % start.size()];
      float* const losses = losses_c.mutable_data<float>() + token;
      std::fill_n(losses, 2 * chunk.sequence, 0.0F);
      losses[0] = static_cast<float>(valid * std::log1p(std::exp(-beta * gain)));
      const double slope = -beta * valid * scale / (1.0 + std::exp(beta * gain));
      for (std::int64_t i = 0; i < 2 * count; ++i) {
        logits[i] *= static_cast<float>(i < count ? slope : -slope);
      }
    });
  }

  // Leaves the gradient of the row's log-likelihood in its logits.
  static double one_row(float* logits, const std::int32_t* labels, const collie::LossChunk& chunk,
                        std::int64_t vocabulary, double& valid) {
    double likelihood = 0.0;
    for (std::int64_t token = 0; token < chunk.sequence; ++token, logits += vocabulary) {
      double sum = 0.0;
      const double most = *std::max_element(logits, logits + vocabulary);
      for (std::int64_t i = 0; i < vocabulary; ++i) sum += std::exp(logits[i] - most);
      const std::int32_t label = labels[token];
      const double counts = label < 0 ? 0.0 : 1.0;
      likelihood += label < 0 ? 0.0 : logits[label] - most - std::log(sum);
      valid += counts;
      for (std::int64_t i = 0; i < vocabulary; ++i) {
        const double softmax = std::exp(logits[i] - most) / sum;
        logits[i] = static_cast<float>(((i == label ? 1.0 : 0.0) - softmax) * counts);
      }
    }
    return likelihood;
  }
};

collie::Result<std::vector<double>> row_losses(collie::RunConfig config) {
  config.data.validation = {config.data.train.front().path};
  config.data.validation_fraction = 0.0;
  config.checkpoint.resume = "never";
  collie::TrainerOptions options;
  options.only_evaluates = true;
  COLLIE_TRY(collie::Trainer trainer, collie::Trainer::create(config, options));
  return trainer.row_losses();
}

collie::Status train(const std::string& path, const std::vector<std::string>& overrides) {
  COLLIE_TRY(collie::RunConfig config, collie::load_config(path, overrides));
  config.data.packing = config.data.shuffle = false;  // row n of the data is row n of the run
  const auto loss = std::make_shared<PreferenceLoss>();
  COLLIE_TRY(loss->start, row_losses(config));
  collie::TrainerOptions options;
  options.loss = loss;
  COLLIE_TRY(collie::Trainer trainer, collie::Trainer::create(config, options));
  trainer.add_callback(
      std::make_shared<collie::Progress>(collie::detect_progress_options(stdout, 10)));
  COLLIE_TRY_VOID(trainer.run());  // the loss begins at log 2
  return collie::ok_status();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return fmt::print(stderr, "usage: {} CONFIG [KEY=VALUE ...]\n", argv[0]), 2;
  const collie::Status status = train(argv[1], {argv + 2, argv + argc});
  if (!status) fmt::print(stderr, "error: {}\n", status.error().message);
  return status ? 0 : 2;
}
