// What a person sees of a run: one line that is drawn again and again on a terminal, plain lines
// otherwise. Evaluations and saves get lines of their own; the end gets a summary.
#pragma once

#include <chrono>
#include <cstdio>
#include <string_view>

#include "actors/progress_format.hpp"
#include "actors/trainer.hpp"

namespace collie {

struct ProgressOptions {
  std::FILE* out = stdout;  // borrowed
  bool terminal = false;    // draw; false: lines
  int columns = 0;          // of the terminal; 0: asked for at each line
  bool utf8 = false;
  bool color = false;
  std::int64_t log_every_steps = 1;  // lines; the last step always has one
};

// From what the stream and the environment say: TERM=dumb is no terminal, NO_COLOR is respected,
// UTF-8 follows the locale.
ProgressOptions detect_progress_options(std::FILE* out, std::int64_t log_every_steps);

class Progress final : public Callback {
 public:
  explicit Progress(ProgressOptions options);
  ~Progress() override;  // leaves the cursor on a fresh line

  void on_start(const RunInfo& info) override;
  void on_step(const StepEvent& step) override;
  void on_evaluation(const EvaluationEvent& evaluation) override;
  void on_save(const SaveEvent& save) override;
  void on_note(std::string_view line) override { print(line); }
  void on_end(const TrainingReport& report) override;

 private:
  void draw(const StepEvent& step, bool must);
  void print(std::string_view line);
  void end_drawing();
  double seconds_left(const StepEvent& step) const;

  ProgressOptions options_;
  std::int64_t total_steps_ = 0;
  std::int64_t steps_seen_ = 0;
  double seconds_per_step_ = 0.0;
  bool line_open_ = false;  // a drawn line stands on the terminal without a newline
  StepEvent last_step_;
  std::chrono::steady_clock::time_point last_draw_{};
};

}  // namespace collie
