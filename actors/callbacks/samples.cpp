#include <optional>

#include "actors/callbacks/ready.hpp"
#include "models/generator.hpp"
#include "runtime/file.hpp"

namespace collie {

namespace {

class Samples final : public Callback {
 public:
  Samples(const SamplesSection& samples, std::string directory)
      : samples_(samples), directory_(std::move(directory)) {}

  bool reads_parameters_after(std::int64_t step) const override {
    return samples_.every_steps > 0 && step % samples_.every_steps == 0;
  }
  void on_setup(const RunInfo& info, RunControl& control) override {
    control_ = &control;
    last_step_ = info.first_step - 1;
  }
  void on_step(const StepEvent& step) override {
    last_step_ = step.step;
    if (reads_parameters_after(step.step)) sample();
  }
  void on_trained() override {
    if (sampled_ != last_step_) sample();
  }

 private:
  void sample() {
    sampled_ = last_step_;
    Status status = write();
    if (!status) control_->fail(std::move(status).error());
  }

  Status write() {
    COLLIE_TRY(LineWriter file,
               LineWriter::open(join_path(directory_, "samples.jsonl"), LineMode::append));
    GenerationOptions options;
    options.max_tokens = samples_.max_tokens;
    options.sampling.temperature = samples_.temperature;
    COLLIE_TRY(const auto results, control_->generate(samples_.prompts, options));
    for (std::size_t i = 0; i < results.size(); ++i) {
      const std::string& prompt = samples_.prompts[i];
      const GenerationResult& result = results[i];
      const Json line = {{"step", last_step_}, {"prompt", prompt}, {"text", result.text}};
      COLLIE_TRY_VOID(file.append_line(dump_json(line, 0)));
      control_->note(fmt::format("sample after step {}: {} -> {}", last_step_, dump_json(prompt, 0),
                                 dump_json(result.text, 0)));
    }
    return ok_status();
  }

  SamplesSection samples_;
  std::string directory_;
  RunControl* control_ = nullptr;
  std::int64_t last_step_ = 0;
  std::int64_t sampled_ = -1;
};

}  // namespace

std::shared_ptr<Callback> make_samples(const SamplesSection& samples, std::string directory) {
  return std::make_shared<Samples>(samples, std::move(directory));
}

}  // namespace collie
