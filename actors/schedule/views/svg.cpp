#include "actors/schedule/views/svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "actors/schedule/views/palette.hpp"
#include "runtime/limits.hpp"

namespace collie {

namespace {

constexpr double gutter = 64.0, top_margin = 34.0, lane_height = 24.0, lane_gap = 6.0;
constexpr double axis_height = 26.0, legend_height = 30.0, character_width = 7.0;

struct Frame {
  double width, scale, makespan;
  int lanes;
  double x(double time) const { return gutter + time * scale; }
  double y(std::size_t rank) const {
    return top_margin + static_cast<double>(rank) * (lane_height + lane_gap);
  }
  double bottom() const { return y(static_cast<std::size_t>(lanes)); }
  double height() const { return bottom() + axis_height + legend_height; }
};

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '<') {
      safe += "&lt;";
    } else if (c == '>') {
      safe += "&gt;";
    } else if (c == '&') {
      safe += "&amp;";
    } else if (code >= 0x20) {
      safe += c;
    }
  }
  return safe;
}

std::string text_at(double x, double y, std::string_view attributes, std::string_view text) {
  return fmt::format("<text x=\"{:.2f}\" y=\"{:.2f}\" {}>{}</text>\n", x, y, attributes,
                     escaped(text));
}

std::string label_of(const Action& action, double width) {
  std::string full = to_string(action);
  const auto fits = [&](const std::string& text) {
    return static_cast<double>(text.size()) * character_width + 2.0 <= width;
  };
  if (fits(full)) return full;
  if (!has_micro_batch(action.verb)) return {};
  std::string number = std::to_string(action.micro_batch);
  if (fits(std::string(letter(action.verb)) + number)) {
    return std::string(letter(action.verb)) + number;
  }
  return fits(number) ? number : std::string();
}

// One of a pair that overlaps is drawn above, the other below.
struct Box {
  double x, y, width, height;
};

std::string box_text(const Box& box, const Action& action, int shade) {
  const std::string fill = tinted_colour(action.verb, shade);
  std::string text = fmt::format(
      "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\"/>\n", box.x,
      box.y, std::max(box.width - 0.8, 0.3), box.height, fill);
  const std::string label = label_of(action, box.width);
  if (!label.empty()) {
    text += text_at(box.x + box.width / 2, box.y + box.height / 2 + 4.0,
                    is_dark(fill) ? "class=\"light\"" : "class=\"dark\"", label);
  }
  return text;
}

std::string lane_text(const Picture& picture, const Frame& frame, std::size_t rank) {
  std::string text = fmt::format(
      "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{}\" fill=\"#eef0f4\"/>\n", gutter,
      frame.y(rank), frame.makespan * frame.scale, lane_height);
  text += text_at(8.0, frame.y(rank) + lane_height / 2 + 4.0, "class=\"name\"",
                  fmt::format("rank {}", rank));
  const auto& times = picture.simulation->actions[rank];
  std::map<std::pair<int, int>, int> chunks;  // in the order in which the rank meets them
  bool second_of_pair = false;
  for (std::size_t index = 0; index < times.size(); ++index) {
    const Action& action = action_at(*picture.schedule, static_cast<int>(rank), index);
    const TimedAction& timed = times[index];
    const int next_chunk = static_cast<int>(chunks.size());
    const int chunk =
        chunks.try_emplace({action.stage, action.direction}, next_chunk).first->second;
    const bool pair = action.overlaps_next || second_of_pair;
    const double height = pair ? lane_height / 2 : lane_height;
    const Box box = {frame.x(timed.begin), frame.y(rank) + (second_of_pair ? height : 0.0),
                     (timed.end - timed.begin) * frame.scale, height};
    second_of_pair = action.overlaps_next;
    if (timed.end <= timed.begin) continue;
    const bool by_chunk = picture.schedule->contract.synchronous;
    text += box_text(box, action, by_chunk ? chunk : timed.version);
  }
  return text;
}

std::string axis_text(const Frame& frame) {
  const double least = 70.0 / frame.scale;
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  double step = power * 10.0;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= least) step = factor * power;
  }
  std::string text;
  for (int tick = 0; tick * step <= frame.makespan * (1.0 + 1e-9); ++tick) {
    const double x = frame.x(tick * step);
    text += fmt::format(
        "<line x1=\"{0:.2f}\" x2=\"{0:.2f}\" y1=\"{1:.2f}\" y2=\"{2:.2f}\" stroke=\"#8a93a1\"/>\n",
        x, frame.bottom(), frame.bottom() + 5.0);
    text += text_at(x, frame.bottom() + 18.0, "class=\"tick\"", fmt::format("{:.6g}", tick * step));
  }
  return text;
}

std::string legend_text(const Schedule& schedule, const Frame& frame) {
  std::array<bool, 16> used = {};
  for (const auto& program : schedule.programs) {
    for (const Action& action : program) used.at(static_cast<std::size_t>(action.verb)) = true;
  }
  constexpr std::array<std::pair<Verb, std::string_view>, 6> words = {{
      {Verb::forward, "F forward"},
      {Verb::backward_input, "I input gradient"},
      {Verb::backward_weight, "W weight gradient"},
      {Verb::backward, "B backward (I and W)"},
      {Verb::recompute, "R recompute"},
      {Verb::step, "STEP"},
  }};
  std::string text;
  double x = gutter;
  const double y = frame.bottom() + axis_height + 6.0;
  for (const auto& [verb, word] : words) {
    if (!used.at(static_cast<std::size_t>(verb))) continue;
    text +=
        fmt::format("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"14\" height=\"14\" fill=\"{}\"/>\n", x,
                    y, colour_of(verb));
    text += text_at(x + 20.0, y + 11.5, "class=\"word\"", word);
    x += 44.0 + static_cast<double>(word.size()) * 6.6;
  }
  return text;
}

constexpr std::string_view style =
    "<style>text{font:12px sans-serif;fill:#1b2230}"
    ".light,.dark{font:11px monospace;text-anchor:middle}.light{fill:#fff}.dark{fill:#10141b}"
    ".tick{text-anchor:middle;fill:#5b6576}.name{font-weight:bold}</style>\n";

}  // namespace

Result<std::string> svg_drawing(const Picture& picture, const SvgOptions& options) {
  const Simulation& simulation = *picture.simulation;
  std::size_t actions = 0;
  for (const auto& lane : simulation.actions) actions += lane.size();
  if (actions > limits::view_actions_max || simulation.actions.size() > limits::view_ranks_max) {
    return make_error(ErrorCode::invalid_config,
                      "{} actions on {} ranks are too many for a drawing (at most {} on {})",
                      actions, simulation.actions.size(), limits::view_actions_max,
                      limits::view_ranks_max);
  }
  const double room = std::max(options.width - gutter - 12.0, 50.0);
  const double makespan = simulation.makespan > 0.0 ? simulation.makespan : 1.0;
  const Frame frame = {options.width, room / makespan, makespan,
                       static_cast<int>(simulation.actions.size())};
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
      "viewBox=\"0 0 {0} {1}\">\n{2}<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
      options.width, frame.height(), style);
  if (options.with_title) text += text_at(8.0, 20.0, "class=\"name\"", picture.title);
  for (std::size_t rank = 0; rank < simulation.actions.size(); ++rank) {
    text += lane_text(picture, frame, rank);
  }
  return text + axis_text(frame) + legend_text(*picture.schedule, frame) + "</svg>\n";
}

}  // namespace collie
