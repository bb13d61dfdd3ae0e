#include "actors/schedule/views/html.hpp"

#include <cmath>

#include "actors/schedule/views/page.hpp"
#include "actors/schedule/views/text_buffer.hpp"
#include "runtime/json.hpp"
#include "runtime/limits.hpp"

namespace collie {

namespace {

// Inside a script element only "<" could end it; in JSON it stands nowhere but in strings.
std::string script_safe(std::string_view json) {
  std::string safe;
  safe.reserve(json.size());
  for (const char c : json) {
    if (c == '<' || c == '>' || c == '&') {
      safe += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string quoted(const std::string& text) {
  return script_safe(dump_json(Json(text), 0));
}

std::string escaped_html(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '&':
        safe += "&amp;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

// JSON knows no infinity.
double finite(double value) {
  return std::isfinite(value) ? value : 0.0;
}

// Numbers of one action, in the order that page.js reads (`fields`).
void write_actions(Text& text, const Picture& picture, std::size_t rank) {
  const auto& times = picture.simulation->actions[rank];
  for (std::size_t index = 0; index < times.size(); ++index) {
    const Action& action = action_at(*picture.schedule, static_cast<int>(rank), index);
    const TimedAction& timed = times[index];
    append_to(text, "{}{},{},{},{},{},{:.9g},{:.9g},{},{},{},{},{},{}", index == 0 ? "" : ",",
              static_cast<int>(action.verb), action.stage, action.micro_batch, action.slice,
              static_cast<int>(action.direction), finite(timed.begin), finite(timed.end),
              static_cast<int>(timed.idle), timed.blamed.rank, timed.blamed.position,
              timed.forward_version, timed.version, action.overlaps_next ? 1 : 0);
  }
}

void write_memory(Text& text, const Picture& picture, std::size_t rank) {
  if (rank >= picture.simulation->memory.size()) return;
  bool first = true;
  for (const MemoryPoint& point : picture.simulation->memory[rank]) {
    append_to(text, "{}{:.9g}", first ? "" : ",", finite(point.time));
    for (const double bytes : point.bytes) append_to(text, ",{:.9g}", finite(bytes));
    first = false;
  }
}

void write_lanes(Text& text, const Picture& picture) {
  for (std::size_t rank = 0; rank < picture.simulation->actions.size(); ++rank) {
    append_to(text, "{}{{\"actions\":[", rank == 0 ? "" : ",");
    write_actions(text, picture, rank);
    append_to(text, "],\"memory\":[");
    write_memory(text, picture, rank);
    append_to(text, "],\"busy\":{:.9g},\"span\":{:.9g},\"peak\":{:.9g}}}\n",
              finite(picture.simulation->busy[rank]), finite(picture.simulation->span[rank]),
              finite(picture.simulation->peak_memory[rank]));
  }
}

void write_picture(Text& text, const Picture& picture) {
  const Schedule& schedule = *picture.schedule;
  append_to(text, "{{\"title\":{},\"note\":{},\"placement\":{},\"synchronous\":{},\"stages\":{},",
            quoted(picture.title), quoted(picture.note), quoted(schedule.placement.describe()),
            schedule.contract.synchronous, schedule.stages());
  append_to(text, "\"makespan\":{:.9g},\"summary\":[", finite(picture.simulation->makespan));
  bool first = true;
  for (const auto& [label, value] : summary_of(picture)) {
    append_to(text, "{}[{},{}]", first ? "" : ",", quoted(label), quoted(value));
    first = false;
  }
  append_to(text, "],\"lanes\":[");
  write_lanes(text, picture);
  append_to(text, "]}}");
}

std::string page_data(std::span<const Picture> pictures, const HtmlOptions& options) {
  Text text;
  append_to(text, "{{\"timeUnit\":{},\"memoryUnit\":{},\"pictures\":[", quoted(options.time_unit),
            quoted(options.memory_unit));
  for (std::size_t index = 0; index < pictures.size(); ++index) {
    if (index > 0) append_to(text, ",\n");
    write_picture(text, pictures[index]);
  }
  append_to(text, "]}}");
  return fmt::to_string(text);
}

// Only the template's own marks are replaced, in one pass, never marks inside what was put in.
std::string fill(std::string_view page,
                 std::span<const std::pair<std::string_view, std::string>> parts) {
  std::string filled;
  while (!page.empty()) {
    const std::size_t open = page.find("{{");
    filled += page.substr(0, open);
    if (open == std::string_view::npos) break;
    const std::size_t close = page.find("}}", open);
    const std::string_view mark = page.substr(open + 2, close - open - 2);
    for (const auto& [name, part] : parts) {
      if (name == mark) filled += part;
    }
    page.remove_prefix(close + 2);
  }
  return filled;
}

}  // namespace

Result<std::string> html_page(std::span<const Picture> pictures, const HtmlOptions& options) {
  std::size_t actions = 0;
  for (const Picture& picture : pictures) {
    for (const auto& lane : picture.simulation->actions) actions += lane.size();
  }
  if (pictures.empty()) return make_error(ErrorCode::invalid_config, "a page of no schedule");
  if (actions > limits::view_actions_max) {
    return make_error(ErrorCode::invalid_config,
                      "{} actions are too many for a page (at most {}); show fewer micro-batches",
                      actions, limits::view_actions_max);
  }
  const std::pair<std::string_view, std::string> parts[] = {
      // NOLINT(modernize-avoid-c-arrays)
      {"title", escaped_html(options.title)},
      {"css", std::string(page_css())},
      {"data", page_data(pictures, options)},
      {"js", std::string(page_js())},
  };
  return fill(page_html(), parts);
}

}  // namespace collie
