// Steps and losses of one's own.
#define BOOST_TEST_MODULE own_step
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <mutex>
#include <set>

#include "actors/trainer.hpp"
#include "tests/unit/actors/tiny_trainer.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

Result<TrainingReport> train(const RunConfig& config, TrainerOptions options) {
  COLLIE_TRY(Trainer trainer, Trainer::create(config, std::move(options)));
  return trainer.run();
}

TrainingReport report_of(Result<TrainingReport> result) {
  BOOST_REQUIRE_MESSAGE(result.ok(), test::message_of(result));
  return std::move(result).value();
}

// Cross entropy that remembers what it was shown.
class Watched final : public Loss {
 public:
  explicit Watched(std::int64_t together) : together_(together) {}
  std::int64_t rows_together() const override { return together_; }
  void forward_backward_of(Stream& stream, Tensor& logits, const Tensor& labels, float scale,
                           Tensor& losses, const LossChunk& chunk) const override {
    forward_backward(stream, logits, labels, scale, losses);
    const std::scoped_lock lock(mutex_);
    if (chunk.trains) first_rows.insert(chunk.first_row);
    sizes.insert(logits.dim(0));
    if (chunk.token_begin % (std::max<std::int64_t>(1, together_) * chunk.sequence) != 0) {
      broken = true;
    }
  }
  void forward_backward(Stream&, Tensor& logits, const Tensor& labels, float scale,
                        Tensor& losses) const override {
    for (std::int64_t token = 0; token < logits.dim(0); ++token) {
      float* const row = logits.mutable_data<float>() + token * logits.dim(1);
      const std::int32_t label = labels.data<std::int32_t>()[token];
      double sum = 0.0;
      for (std::int64_t i = 0; i < logits.dim(1); ++i) sum += std::exp(row[i]);
      losses.mutable_data<float>()[token] =
          label < 0 ? 0.0F : static_cast<float>(std::log(sum) - row[label]);
      for (std::int64_t i = 0; i < logits.dim(1); ++i) {
        const double gradient = std::exp(row[i]) / sum - (i == label ? 1.0 : 0.0);
        row[i] = label < 0 ? 0.0F : static_cast<float>(gradient * scale);
      }
    }
  }
  mutable std::set<std::int64_t> first_rows, sizes;
  mutable bool broken = false;

 private:
  std::int64_t together_;
  mutable std::mutex mutex_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_step_that_does_one_round_is_the_usual_step) {
  TinyTrainer tiny;
  const TrainingReport usual = report_of(tiny.train("usual"));
  TrainerOptions options;
  std::int64_t steps = 0;
  options.train_step = [&](StepContext& context) {
    BOOST_CHECK_EQUAL(context.step(), ++steps);
    return context.round();
  };
  for (const char* post : {"train.post_validation=false", "train.post_validation=true"}) {
    steps = 0;
    const TrainingReport own =
        report_of(train(tiny.config(fmt::format("own{}", post), {post}), options));
    BOOST_CHECK_EQUAL(own.parameter_hash, usual.parameter_hash);
    BOOST_CHECK_EQUAL(steps, tiny_steps);
  }
}

BOOST_AUTO_TEST_CASE(a_step_may_change_its_update_and_look_at_its_data_first) {
  TinyTrainer tiny;
  const TrainingReport half = report_of(tiny.train("half", {"train.lr=0.005"}));
  TrainerOptions options;
  options.train_step = [](StepContext& context) -> Result<RoundOutcome> {
    COLLIE_TRY(const RoundOutcome before, context.evaluate());
    context.request().learning_rate *= 0.5;
    COLLIE_TRY(RoundOutcome outcome, context.round());
    BOOST_CHECK_EQUAL(before.valid_tokens, outcome.valid_tokens);
    BOOST_CHECK_SMALL(before.loss / outcome.loss - 1.0, 1e-6);
    BOOST_CHECK_EQUAL(before.row_losses.size(), 8U);
    double sum = 0.0;
    for (const double loss : before.row_losses) sum += loss;
    BOOST_CHECK_SMALL(sum / (before.loss * static_cast<double>(before.valid_tokens)) - 1.0, 1e-12);
    BOOST_CHECK(outcome.row_losses.empty());
    return outcome;
  };
  BOOST_CHECK_EQUAL(report_of(train(tiny.config("own"), options)).parameter_hash,
                    half.parameter_hash);
}

BOOST_AUTO_TEST_CASE(a_step_without_a_round_is_refused) {
  TinyTrainer tiny;
  TrainerOptions options;
  options.train_step = [](StepContext&) -> Result<RoundOutcome> { return RoundOutcome{}; };
  test::check_error(train(tiny.config("own"), options), ErrorCode::unsupported,
                    "step 1: its function has not called round()");
}

// 40 rows of 32 tokens are more than one chunk.
BOOST_AUTO_TEST_CASE(a_loss_sees_rows_that_belong_together_at_once) {
  TinyTrainer tiny;
  const std::vector<std::string> overrides{"train.micro_batch_size=42", "train.accumulation=2",
                                           "train.max_steps=2"};
  double usual_loss = 0.0;
  for (const std::int64_t together : {0, 2, 3, 21}) {
    const auto loss = std::make_shared<Watched>(together);
    TrainerOptions options;
    options.loss = loss;
    const TrainingReport report =
        report_of(train(tiny.config(fmt::format("run{}", together), overrides), options));
    if (together == 0) usual_loss = report.final_loss;
    BOOST_CHECK_SMALL(report.final_loss / usual_loss - 1.0, 1e-5);
    BOOST_CHECK(!loss->broken);
    BOOST_CHECK(loss->first_rows == (std::set<std::int64_t>{0, 42, 84, 126}));
    for (const std::int64_t size : loss->sizes) {
      if (together > 0) BOOST_CHECK_EQUAL(size % (together * 32), 0);
    }
  }
}
