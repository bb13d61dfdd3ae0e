// A grid of actors in this process (2 replicas of 2 pipeline stages) trains with a loss of one's
// own: cross entropy with label smoothing (Szegedy et al. 2016, section 7).
//
//   cmake --build build/release --target example_custom_loss
//   build/release/examples/example_custom_loss configs/tiny.json data.train=text.txt
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "actors/progress.hpp"
#include "actors/trainer.hpp"

namespace {

// The target is 1 - smoothing for the label plus smoothing / V for every token of the vocabulary.
class LabelSmoothing final : public collie::Loss {
 public:
  explicit LabelSmoothing(float smoothing) : smoothing_(smoothing) {}

  void forward_backward(collie::Stream& stream, collie::Tensor& logits_cv,
                        const collie::Tensor& labels_c, float scale,
                        collie::Tensor& losses_c) const override {
    const std::int64_t vocabulary = logits_cv.dim(1);
    stream.parallel_for(logits_cv.dim(0), [&](std::int64_t token, int) {
      float* const row = logits_cv.mutable_data<float>() + token * vocabulary;
      losses_c.mutable_data<float>()[token] =
          one_token(row, vocabulary, labels_c.data<std::int32_t>()[token], scale);
    });
  }

 private:
  float one_token(float* row, std::int64_t vocabulary, std::int32_t label, float scale) const {
    if (label < 0) {
      for (std::int64_t i = 0; i < vocabulary; ++i) row[i] = 0.0F;
      return 0.0F;
    }
    float most = row[0];
    double logit_sum = 0.0, exp_sum = 0.0;
    for (std::int64_t i = 0; i < vocabulary; ++i) most = std::max(most, row[i]);
    for (std::int64_t i = 0; i < vocabulary; ++i) {
      logit_sum += row[i];
      exp_sum += std::exp(row[i] - most);
    }
    const double log_normaliser = most + std::log(exp_sum);
    const double each = smoothing_ / static_cast<double>(vocabulary);
    const double loss = log_normaliser - (1.0 - smoothing_) * row[label] - each * logit_sum;
    for (std::int64_t i = 0; i < vocabulary; ++i) {
      const double target = each + (i == label ? 1.0 - smoothing_ : 0.0);
      row[i] = static_cast<float>((std::exp(row[i] - log_normaliser) - target) * scale);
    }
    return static_cast<float>(loss);
  }

  float smoothing_;
};

collie::Status train(const std::string& path, const std::vector<std::string>& overrides) {
  COLLIE_TRY(collie::RunConfig config, collie::load_config(path, overrides));
  config.grid.dp = 2;
  config.grid.pp = 2;
  config.grid.tp = 1;  // the loss sees the whole vocabulary
  collie::TrainerOptions options;
  options.loss = std::make_shared<LabelSmoothing>(0.1F);
  COLLIE_TRY(collie::Trainer trainer, collie::Trainer::create(config, options));
  trainer.add_callback(
      std::make_shared<collie::Progress>(collie::detect_progress_options(stdout, 1)));
  COLLIE_TRY_VOID(trainer.run());
  return collie::ok_status();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: {} CONFIG [KEY=VALUE ...]\n", argv[0]);
    return 2;
  }
  const collie::Status status = train(argv[1], {argv + 2, argv + argc});
  if (status) return 0;
  fmt::print(stderr, "error: {}\n", status.error().message);
  return 2;
}
