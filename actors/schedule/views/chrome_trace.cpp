#include "actors/schedule/views/chrome_trace.hpp"

#include <cmath>

#include "actors/schedule/views/text_buffer.hpp"
#include "runtime/json.hpp"
#include "runtime/limits.hpp"

namespace collie {

namespace {

void append_rank(Text& text, const Picture& picture, std::size_t rank, double scale) {
  append_to(text,
            ",\n{{\"ph\":\"M\",\"pid\":0,\"tid\":{0},\"name\":\"thread_name\","
            "\"args\":{{\"name\":\"rank {0}\"}}}}"
            ",\n{{\"ph\":\"M\",\"pid\":0,\"tid\":{0},\"name\":\"thread_sort_index\","
            "\"args\":{{\"sort_index\":{0}}}}}",
            rank);
  const auto& times = picture.simulation->actions[rank];
  double free = 0.0;
  for (std::size_t index = 0; index < times.size(); ++index) {
    const Action& action = action_at(*picture.schedule, static_cast<int>(rank), index);
    const TimedAction& timed = times[index];
    append_to(
        text,
        ",\n{{\"ph\":\"X\",\"pid\":0,\"tid\":{},\"name\":\"{}\",\"cat\":\"{}\",\"ts\":{:.12g},"
        "\"dur\":{:.12g},\"args\":{{\"stage\":{},\"micro_batch\":{},\"version\":{},"
        "\"forward_version\":{}",
        rank, to_string(action), letter(action.verb), timed.begin * scale,
        (timed.end - timed.begin) * scale, action.stage, action.micro_batch, timed.version,
        timed.forward_version);
    if (timed.begin > free && timed.idle != IdleCause::none) {
      append_to(text, ",\"idle_before\":{:.9g},\"idle_cause\":\"{}\",\"waited_for\":\"{}\"",
                timed.begin - free, name_of(timed.idle),
                describe_place(*picture.schedule, timed.blamed));
    }
    append_to(text, "}}}}");
    free = std::max(free, timed.end);
  }
}

void append_memory(Text& text, const Picture& picture, std::size_t rank, double scale) {
  if (rank >= picture.simulation->memory.size()) return;
  for (const MemoryPoint& point : picture.simulation->memory[rank]) {
    append_to(text,
              ",\n{{\"ph\":\"C\",\"pid\":0,\"name\":\"memory of rank {}\",\"ts\":{:.12g},"
              "\"args\":{{",
              rank, point.time * scale);
    for (int index = 0; index < memory_class_count; ++index) {
      append_to(text, "{}\"{}\":{:.9g}", index == 0 ? "" : ",",
                name_of(static_cast<MemoryClass>(index)), point.bytes[index]);
    }
    append_to(text, "}}}}");
  }
}

}  // namespace

Result<std::string> chrome_trace(const Picture& picture, double microseconds) {
  std::size_t actions = 0;
  for (const auto& lane : picture.simulation->actions) actions += lane.size();
  if (actions > limits::view_actions_max) {
    return make_error(ErrorCode::invalid_config,
                      "{} actions are too many for a trace (at most {}); use fewer micro-batches",
                      actions, limits::view_actions_max);
  }
  Text text;
  append_to(text,
            "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{{\"ph\":\"M\",\"pid\":0,"
            "\"name\":\"process_name\",\"args\":{{\"name\":{}}}}}",
            dump_json(Json(picture.title), 0));
  for (std::size_t rank = 0; rank < picture.simulation->actions.size(); ++rank) {
    append_rank(text, picture, rank, microseconds);
    append_memory(text, picture, rank, microseconds);
  }
  append_to(text, "\n]}}\n");
  return fmt::to_string(text);
}

}  // namespace collie
