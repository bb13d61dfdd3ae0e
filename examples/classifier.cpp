// Turns a model into a classifier: the head of K classes is K rows of its vocabulary, one token a
// class, and the loss is the cross entropy over these alone, at the place of the answer.
//
//   cmake --build build/release --target example_classifier
//   build/release/examples/example_classifier model.json " good" " bad" -- data.train=train.jsonl
//     data.packing=false eval.evaluators='[{"type": "classification", "data": "test.jsonl"}]'
//
// train.jsonl: {"input": text, "output": " good"}; test.jsonl: {"input": text, "output": [" good",
// " bad"], "target": 0}. The loss is what evaluations measure, too: their likelihoods are those of
// the K classes.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "actors/progress.hpp"
#include "actors/trainer.hpp"
#include "models/tokenizer/tokenizer.hpp"

namespace {

class ClassLoss final : public collie::Loss {
 public:
  explicit ClassLoss(std::vector<std::int32_t> classes) : classes_(std::move(classes)) {}

  void forward_backward(collie::Stream& stream, collie::Tensor& logits_cv,
                        const collie::Tensor& labels_c, float scale,
                        collie::Tensor& losses_c) const override {
    const std::int64_t vocabulary = logits_cv.dim(1);
    stream.parallel_for(logits_cv.dim(0), [&](std::int64_t token, int) {
      float* const row = logits_cv.mutable_data<float>() + token * vocabulary;
      const std::int32_t label = labels_c.data<std::int32_t>()[token];
      losses_c.mutable_data<float>()[token] = one_token(row, vocabulary, label, scale);
    });
  }

 private:
  float one_token(float* row, std::int64_t vocabulary, std::int32_t label, float scale) const {
    std::vector<double> scores;
    double sum = 0.0, loss = 0.0;
    bool is_answer = false;
    for (const std::int32_t id : classes_) {
      scores.push_back(std::exp(static_cast<double>(row[id]) - row[classes_[0]]));
      sum += scores.back();
      is_answer = is_answer || id == label;
    }
    for (std::int64_t i = 0; i < vocabulary; ++i) row[i] = 0.0F;
    if (!is_answer) return 0.0F;
    for (std::size_t i = 0; i < classes_.size(); ++i) {
      const double probability = scores[i] / sum;
      if (classes_[i] == label) loss = -std::log(probability);
      row[classes_[i]] =
          static_cast<float>((probability - (classes_[i] == label ? 1.0 : 0.0)) * scale);
    }
    return static_cast<float>(loss);
  }

  std::vector<std::int32_t> classes_;
};

collie::Status train(const std::string& path, const std::vector<std::string>& names,
                     const std::vector<std::string>& overrides) {
  COLLIE_TRY(collie::RunConfig config, collie::load_config(path, overrides));
  const std::string& files = config.model.tokenizer;
  COLLIE_TRY(const collie::Tokenizer tokenizer,
             collie::Tokenizer::load(files.empty() ? config.model.path : files));
  std::vector<std::int32_t> classes;
  for (const std::string& name : names) classes.push_back(tokenizer.encode(name).at(0));
  collie::TrainerOptions options;
  options.loss = std::make_shared<ClassLoss>(classes);
  COLLIE_TRY(collie::Trainer trainer, collie::Trainer::create(config, options));
  trainer.add_callback(
      std::make_shared<collie::Progress>(collie::detect_progress_options(stdout, 10)));
  COLLIE_TRY_VOID(trainer.run());
  return collie::ok_status();
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  if (dashes - arguments.begin() < 3) {
    fmt::print(stderr, "usage: {} CONFIG CLASS CLASS ... [-- KEY=VALUE ...]\n", argv[0]);
    return 2;
  }
  const auto rest = dashes == arguments.end() ? dashes : dashes + 1;
  const collie::Status status =
      train(arguments[0], {arguments.begin() + 1, dashes}, {rest, arguments.end()});
  if (!status) fmt::print(stderr, "error: {}\n", status.error().message);
  return status ? 0 : 2;
}
