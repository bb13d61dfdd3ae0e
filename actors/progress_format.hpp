// How numbers and lines look on a terminal. Pure: no clock, no terminal, no output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "actors/trainer.hpp"

namespace collie {

std::string format_duration(
    double seconds);  // "3ms", "0.4s", "42s", "3m07s", "1h02m", "2d03h"; "?" unknown
std::string format_bytes(std::size_t bytes);    // "812 MiB", "1.5 GiB"
std::string format_count(double count);         // "950", "12.3k", "4.2M"
std::string format_learning_rate(double rate);  // "3.0e-04", "0"

// Exactly `cells` columns; the fraction is cut to 0..1. In UTF-8 it moves in half cells.
std::string progress_bar(double fraction, int cells, bool utf8);

struct LineStyle {
  int columns = 80;  // of the terminal; the line takes at most one less, so it never wraps
  bool utf8 = false;
  bool color = false;  // of the bar; takes no columns
};

// One line of a run under way: what does not fit is left out, the least important first, and the
// bar takes the room that is left. Empty where not even the counter fits. seconds_left < 0:
// unknown.
std::string progress_line(const StepEvent& step, double seconds_left, const LineStyle& style);

// The same as one line of a log, whatever its length.
std::string step_log_line(const StepEvent& step, double seconds_left);

std::string start_line(const RunInfo& info);
std::string source_line(const SourceInfo& source);
std::string evaluation_line(const EvaluationEvent& evaluation);
std::string save_line(const SaveEvent& save);
std::vector<std::string> summary_lines(const TrainingReport& report, std::int64_t total_steps);

// The values of the three variables, empty where unset: the first one set decides.
bool is_utf8_locale(std::string_view lc_all, std::string_view lc_ctype, std::string_view lang);

}  // namespace collie
