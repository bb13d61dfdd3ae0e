#include "actors/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace collie {

namespace {

constexpr auto draw_interval = std::chrono::milliseconds(100);
constexpr double smoothing = 0.05;  // weight of the newest step in the mean time of a step
constexpr std::string_view clear_line = "\r\x1b[K";

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

int terminal_columns(std::FILE* out) {
  winsize size{};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

void write_text(std::FILE* out, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), out);
}

}  // namespace

ProgressOptions detect_progress_options(std::FILE* out, std::int64_t log_every_steps) {
  ProgressOptions options;
  options.out = out;
  options.log_every_steps = log_every_steps;
  options.terminal = isatty(fileno(out)) == 1 && environment("TERM") != "dumb";
  options.color = options.terminal && environment("NO_COLOR").empty();
  options.utf8 =
      is_utf8_locale(environment("LC_ALL"), environment("LC_CTYPE"), environment("LANG"));
  return options;
}

Progress::Progress(ProgressOptions options) : options_(options) {
  options_.log_every_steps = std::max<std::int64_t>(options_.log_every_steps, 1);
}

Progress::~Progress() {
  end_drawing();
}

void Progress::on_start(const RunInfo& info) {
  total_steps_ = info.total_steps;
  print(start_line(info));
  for (const SourceInfo& source : info.sources) print(source_line(source));
  for (const std::string& warning : info.warnings) print("warning: " + warning);
  if (!info.resumed_from.empty()) {
    print(fmt::format("going on after step {} from {}", info.first_step - 1, info.resumed_from));
  }
}

void Progress::on_step(const StepEvent& step) {
  ++steps_seen_;
  // The first step warms up memory and caches, so the second one replaces it.
  const double weight = steps_seen_ <= 2 ? 1.0 : smoothing;
  seconds_per_step_ += weight * (step.seconds - seconds_per_step_);
  last_step_ = step;
  const bool is_last = step.step >= step.total_steps;
  if (options_.terminal) {
    draw(step, is_last || steps_seen_ == 1);
  } else if (is_last || step.step % options_.log_every_steps == 0) {
    print(step_log_line(step, seconds_left(step)));
  }
}

void Progress::on_evaluation(const EvaluationEvent& evaluation) {
  print(evaluation_line(evaluation));
}

void Progress::on_save(const SaveEvent& save) {
  print(save_line(save));
}

void Progress::on_end(const TrainingReport& report) {
  if (options_.terminal && steps_seen_ > 0 && !line_open_) draw(last_step_, true);
  end_drawing();
  for (const std::string& line : summary_lines(report, total_steps_)) print(line);
}

double Progress::seconds_left(const StepEvent& step) const {
  return seconds_per_step_ * static_cast<double>(step.total_steps - step.step);
}

void Progress::draw(const StepEvent& step, bool must) {
  const auto now = std::chrono::steady_clock::now();
  if (!must && now - last_draw_ < draw_interval) return;
  last_draw_ = now;
  const int columns = options_.columns > 0 ? options_.columns : terminal_columns(options_.out);
  const LineStyle style{columns, options_.utf8, options_.color};
  write_text(options_.out, clear_line);
  write_text(options_.out, progress_line(step, seconds_left(step), style));
  std::fflush(options_.out);
  line_open_ = true;
}

// A line of its own takes the place of the drawn one, which the next step draws again below.
void Progress::print(std::string_view line) {
  if (line_open_) write_text(options_.out, clear_line);
  line_open_ = false;
  write_text(options_.out, line);
  write_text(options_.out, "\n");
  std::fflush(options_.out);
}

void Progress::end_drawing() {
  if (!line_open_) return;
  line_open_ = false;
  write_text(options_.out, "\n");
  std::fflush(options_.out);
}

}  // namespace collie
