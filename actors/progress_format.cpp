#include "actors/progress_format.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "models/traits.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr int bar_cells_min = 8;
constexpr int bar_cells_max = 40;
constexpr std::string_view gap = "  ";

// Parts in the order in which they appear; the least rank goes in first when room is short.
struct Part {
  std::string text;
  int rank = 0;
};

std::vector<Part> step_parts(const StepEvent& step, double seconds_left) {
  std::vector<Part> parts;
  parts.push_back({fmt::format("loss {:.4f}", step.loss), 0});
  parts.push_back({"lr " + format_learning_rate(step.learning_rate), 4});
  parts.push_back({fmt::format("grad norm {:.3g}", step.gradient_norm), 5});
  parts.push_back({format_count(step.tokens_per_s) + " tok/s", 2});
  if (step.mfu > 0.0) parts.push_back({fmt::format("MFU {:.1f}%", 100.0 * step.mfu), 6});
  if (step.peak_bytes > 0) parts.push_back({format_bytes(step.peak_bytes), 7});
  if (step.step < step.total_steps) parts.push_back({format_duration(seconds_left) + " left", 1});
  return parts;
}

std::string counter(const StepEvent& step) {
  const std::string total = std::to_string(step.total_steps);
  return fmt::format("{:>{}}/{}", step.step, total.size(), total);
}

int width_of(std::string_view ascii) {
  return static_cast<int>(ascii.size());
}

// Marks what fits, by rank, and returns the columns that are left.
int choose(const std::vector<Part>& parts, int room, std::vector<bool>& chosen) {
  constexpr int bar_rank =
      3;  // a bar is worth more than the learning rate, less than the time left
  int bar_room = 0;
  for (int rank = 0; rank <= 7; ++rank) {
    if (rank == bar_rank && room >= bar_cells_min + width_of(gap)) {
      bar_room = bar_cells_min + width_of(gap);
      room -= bar_room;
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const int width = width_of(parts[i].text) + width_of(gap);
      if (parts[i].rank != rank || width > room) continue;
      chosen[i] = true;
      room -= width;
    }
  }
  return room + bar_room;
}

}  // namespace

std::string format_duration(double seconds) {
  if (!(seconds >= 0.0) || seconds > 1e9) return "?";
  if (seconds < 0.0995) return fmt::format("{:.0f}ms", seconds * 1e3);
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{}h{:02}m", whole / 3600, whole % 3600 / 60);
  return fmt::format("{}d{:02}h", whole / 86400, whole % 86400 / 3600);
}

std::string format_bytes(std::size_t bytes) {
  constexpr std::array<std::string_view, 6> units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < units.size()) {
    value /= 1024.0;
    ++unit;
  }
  if (unit == 0 || value >= 99.95) return fmt::format("{:.0f} {}", value, units[unit]);
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string format_count(double count) {
  constexpr std::array<std::string_view, 5> units = {"", "k", "M", "B", "T"};
  std::size_t unit = 0;
  while (std::abs(count) >= 999.5 && unit + 1 < units.size()) {
    count /= 1000.0;
    ++unit;
  }
  if (unit == 0 || std::abs(count) >= 99.95) return fmt::format("{:.0f}{}", count, units[unit]);
  return fmt::format("{:.1f}{}", count, units[unit]);
}

std::string format_learning_rate(double rate) {
  return rate == 0.0 ? "0" : fmt::format("{:.1e}", rate);
}

std::string progress_bar(double fraction, int cells, bool utf8) {
  cells = std::max(cells, 0);
  const double part = std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0.0;
  std::string bar;
  if (!utf8) {
    const int inner = cells - 2;
    if (inner < 1) return std::string(static_cast<std::size_t>(cells), ' ');
    const auto full = static_cast<std::size_t>(part * inner);
    bar.assign(full, '#');
    bar.resize(static_cast<std::size_t>(inner), '.');
    return "[" + bar + "]";
  }
  const auto halves = static_cast<int>(part * 2 * cells);
  for (int cell = 0; cell < cells; ++cell) {
    const int filled = std::clamp(halves - 2 * cell, 0, 2);
    bar += filled == 2 ? "━" : filled == 1 ? "╸" : "─";
  }
  return bar;
}

std::string progress_line(const StepEvent& step, double seconds_left, const LineStyle& style) {
  std::string line = counter(step);
  int room = style.columns - 1 - width_of(line);
  if (room < 0) return {};
  const std::vector<Part> parts = step_parts(step, seconds_left);
  std::vector<bool> chosen(parts.size(), false);
  room = choose(parts, room, chosen);
  const int cells = std::min(room - width_of(gap), bar_cells_max);
  if (cells >= bar_cells_min) {
    const double total = static_cast<double>(std::max<std::int64_t>(step.total_steps, 1));
    const std::string bar = progress_bar(static_cast<double>(step.step) / total, cells, style.utf8);
    line += gap;
    line += style.color ? "\x1b[36m" + bar + "\x1b[0m" : bar;
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!chosen[i]) continue;
    line += gap;
    line += parts[i].text;
  }
  return line;
}

std::string step_log_line(const StepEvent& step, double seconds_left) {
  std::string line = "step " + counter(step);
  for (const Part& part : step_parts(step, seconds_left)) {
    line += gap;
    line += part.text;
  }
  return line;
}

std::string start_line(const RunInfo& info) {
  const GridSection& grid = info.config.grid;
  std::string line =
      fmt::format("{}: {} parameters, {} as dp {} x tp {} x pp {} ({}), {} steps",
                  info.traits.family, format_count(static_cast<double>(info.parameter_count)),
                  info.config.model.dtype == DType::bf16 ? "bfloat16" : "float32", grid.dp, grid.tp,
                  grid.pp, grid.schedule, info.total_steps);
  if (info.planned_bytes > 0) line += ", plan " + format_bytes(info.planned_bytes);
  return line;
}

std::string source_line(const SourceInfo& source) {
  return fmt::format(
      "source {}: {} documents, {} tokens in {} rows, weight {:.6g}: {:.1f} % of the "
      "rows drawn",
      quoted_name(source.name), format_count(static_cast<double>(source.documents)),
      format_count(static_cast<double>(source.tokens)),
      format_count(static_cast<double>(source.rows)), source.weight, 100.0 * source.share);
}

std::string evaluation_line(const EvaluationEvent& evaluation) {
  if (evaluation.name != "validation") {
    std::string line = fmt::format("step {}:", evaluation.step);
    for (const MetricValue& value : evaluation.values) {
      line += fmt::format(" {} {:.6g},", value.name, value.value);
    }
    line.back() = ' ';
    return line + fmt::format("(in {})", format_duration(evaluation.seconds));
  }
  return fmt::format("step {}: validation loss {:.4f}, perplexity {:.2f} ({} tokens in {})",
                     evaluation.step, evaluation.loss, evaluation.perplexity,
                     format_count(static_cast<double>(evaluation.valid_tokens)),
                     format_duration(evaluation.seconds));
}

std::string save_line(const SaveEvent& save) {
  return fmt::format("step {}: saved {} {} in {}", save.step,
                     save.is_model ? "model" : "checkpoint", save.path,
                     format_duration(save.seconds));
}

std::vector<std::string> summary_lines(const TrainingReport& report, std::int64_t total_steps) {
  std::vector<std::string> lines;
  if (report.stopped_early) {
    lines.push_back(fmt::format("stopped after step {} of {}; the same command goes on from there",
                                report.steps_done, total_steps));
  }
  // A session that found all steps done has no loss of its own.
  if (report.final_loss == 0.0 && !report.stopped_early) {
    lines.push_back(fmt::format("nothing left to train: all {} steps are done", report.steps_done));
  } else {
    lines.push_back(fmt::format("trained to step {} in {}, loss {:.4f}", report.steps_done,
                                format_duration(report.seconds), report.final_loss));
  }
  for (const SourceEpochs& source : report.source_epochs) {
    lines.push_back(
        fmt::format("source      {}: {:.2f} epochs", quoted_name(source.name), source.epochs));
  }
  if (report.perplexity > 0.0) {
    lines.push_back(fmt::format("validation  loss {:.4f}, perplexity {:.2f}",
                                report.validation_loss, report.perplexity));
  }
  if (!report.model_directory.empty()) lines.push_back("model       " + report.model_directory);
  if (!report.metrics_path.empty()) lines.push_back("metrics     " + report.metrics_path);
  return lines;
}

bool is_utf8_locale(std::string_view lc_all, std::string_view lc_ctype, std::string_view lang) {
  const std::string_view value = !lc_all.empty() ? lc_all : !lc_ctype.empty() ? lc_ctype : lang;
  std::string plain;
  for (const char c : value) {
    if (c != '-') plain += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  return plain.find("utf8") != std::string::npos;
}

}  // namespace collie
