#include "actors/schedule/views/terminal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace collie {

namespace {

constexpr int gutter_columns = 9;  // "rank 127 "
constexpr double columns_per_unit_max = 6.0;

// The same hues as the page's, from the 256 colours that terminals share; text is black or white.
std::string_view ansi_of(Verb verb) {
  switch (verb) {
    case Verb::forward:
      return "\x1b[48;5;25;38;5;231m";
    case Verb::backward_input:
      return "\x1b[48;5;167;38;5;231m";
    case Verb::backward_weight:
      return "\x1b[48;5;179;38;5;16m";
    case Verb::backward:
      return "\x1b[48;5;90;38;5;231m";
    case Verb::recompute:
      return "\x1b[48;5;74;38;5;16m";
    default:
      return "\x1b[48;5;28;38;5;231m";
  }
}

constexpr std::string_view ansi_chunk = "\x1b[4m";  // the second and further stages of a rank
constexpr std::string_view ansi_end = "\x1b[0m";

struct Cell {
  char text = '.';
  const Action* action = nullptr;
};

struct Window {
  double from, columns_per_unit;
  int columns;
  int column_of(double time) const {
    const double column = std::round((time - from) * columns_per_unit);
    return static_cast<int>(std::clamp(column, -1.0, columns + 1.0));
  }
};

// Whole columns per unit of time where there is room, so that equal actions look equal.
Result<Window> make_window(const Simulation& simulation, const TerminalOptions& options) {
  const double to =
      options.to > 0.0 ? std::min(options.to, simulation.makespan) : simulation.makespan;
  if (!(to > options.from) || options.from < 0.0) {
    return make_error(ErrorCode::invalid_config,
                      "the window {:g} to {:g} is empty; the schedule runs from 0 to {:g}",
                      options.from, to, simulation.makespan);
  }
  const int room = std::max(8, options.width - gutter_columns);
  double scale = std::min(room / (to - options.from), columns_per_unit_max);
  if (scale >= 1.0) scale = std::floor(scale);
  const double columns = std::ceil((to - options.from) * scale - 1e-9);
  return Window{options.from, scale, std::min(room, static_cast<int>(columns))};
}

// With colour the verb is known, so a number alone, or its last digit, says more than a letter.
std::string label_of(const Action& action, int columns, bool colour) {
  const auto room = static_cast<std::size_t>(columns);
  std::string verb(letter(action.verb).substr(0, 1));
  if (!has_micro_batch(action.verb)) return verb;
  const std::string number = std::to_string(action.micro_batch);
  if (verb.size() + number.size() <= room) return verb + number;
  if (!colour) return verb;
  return number.size() <= room ? number : number.substr(number.size() - room);
}

void put(std::vector<Cell>& lane, const Action& action, int begin, int end, bool colour) {
  begin = std::max(begin, 0);
  end = std::min(end, static_cast<int>(lane.size()));
  if (begin >= end) return;
  const std::string label = label_of(action, end - begin, colour);
  for (int column = begin; column < end; ++column) {
    const auto at = static_cast<std::size_t>(column - begin);
    const char fill = at == 0 ? label[0] : '-';
    lane[static_cast<std::size_t>(column)] = {at < label.size() ? label[at] : fill, &action};
  }
}

std::vector<Cell> lane_of(const Picture& picture, std::size_t rank, const Window& window,
                          bool colour) {
  std::vector<Cell> lane(static_cast<std::size_t>(window.columns));
  const auto& times = picture.simulation->actions[rank];
  for (std::size_t index = 0; index < times.size(); ++index) {
    const Action& action = action_at(*picture.schedule, static_cast<int>(rank), index);
    double begin = times[index].begin;
    double end = times[index].end;
    if (action.overlaps_next) {
      end = (begin + end) / 2;
    } else if (index > 0 &&
               action_at(*picture.schedule, static_cast<int>(rank), index - 1).overlaps_next) {
      begin = (begin + end) / 2;
    }
    put(lane, action, window.column_of(begin), window.column_of(end), colour);
  }
  return lane;
}

// Colour changes only where the action does, so that lines stay short.
std::string lane_text(const std::vector<Cell>& lane, bool colour, int first_stage) {
  std::string text;
  const Action* last = nullptr;
  for (const Cell& cell : lane) {
    if (colour && cell.action != last) {
      if (last != nullptr) text += ansi_end;
      if (cell.action != nullptr) {
        text += ansi_of(cell.action->verb);
        if (cell.action->stage != first_stage) text += ansi_chunk;
      }
      last = cell.action;
    }
    text += colour && cell.action != nullptr && cell.text == '-' ? ' ' : cell.text;
  }
  if (colour && last != nullptr) text += ansi_end;
  return text;
}

std::string ruler(const Window& window) {
  std::string line(static_cast<std::size_t>(window.columns), ' ');
  constexpr int spacing = 12;
  for (int column = 0; column < window.columns; column += spacing) {
    const std::string mark = fmt::format("|{:.4g}", window.from + column / window.columns_per_unit);
    if (column + static_cast<int>(mark.size()) > window.columns) break;
    line.replace(static_cast<std::size_t>(column), mark.size(), mark);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return fmt::format("{:<{}}{}\n", "time", gutter_columns, line);
}

std::string legend(const Schedule& schedule, bool colour) {
  constexpr std::array<std::pair<Verb, std::string_view>, 6> words = {{
      {Verb::forward, "forward"},
      {Verb::backward_input, "input gradient"},
      {Verb::backward_weight, "weight gradient"},
      {Verb::backward, "backward (I and W)"},
      {Verb::recompute, "recompute"},
      {Verb::step, "STEP"},
  }};
  std::array<bool, 16> used = {};
  for (const auto& program : schedule.programs) {
    for (const Action& action : program) used.at(static_cast<std::size_t>(action.verb)) = true;
  }
  std::string line;
  for (const auto& [verb, word] : words) {
    if (!used.at(static_cast<std::size_t>(verb))) continue;
    const std::string_view name = letter(verb).substr(0, 1);
    line += colour ? fmt::format("{} {} {} {}   ", ansi_of(verb), name, ansi_end, word)
                   : fmt::format("{} {}   ", name, word);
  }
  line += ". idle";
  if (colour && schedule.stages() > schedule.ranks()) line += "   underlined: not the first stage";
  return line + "\n";
}

}  // namespace

Result<std::string> terminal_timeline(const Picture& picture, const TerminalOptions& options) {
  COLLIE_TRY(const Window window, make_window(*picture.simulation, options));
  std::string text = ruler(window);
  for (std::size_t rank = 0; rank < picture.simulation->actions.size(); ++rank) {
    const auto& program = picture.schedule->programs[rank];
    const int first_stage = program.empty() ? 0 : program.front().stage;
    text += fmt::format(
        "{:<{}}{}\n", fmt::format("rank {}", rank), gutter_columns,
        lane_text(lane_of(picture, rank, window, options.colour), options.colour, first_stage));
  }
  text += legend(*picture.schedule, options.colour);
  if (window.columns_per_unit < 1.0) {
    text += fmt::format("one column is {:.3g} of time; --from and --to show a part of it larger\n",
                        1.0 / window.columns_per_unit);
  }
  return text;
}

}  // namespace collie
