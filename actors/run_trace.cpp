#include "actors/run_trace.hpp"

#include <algorithm>
#include <map>
#include <sstream>

#include "actors/schedule/text_format.hpp"
#include "runtime/json.hpp"

namespace collie {

namespace {

Error bad_line(const std::string& path, std::size_t line, std::string_view what) {
  return make_error(ErrorCode::invalid_file,
                    "{}:{}: {}: the file is damaged; train again with output.trace_steps", path,
                    line, what);
}

// One line's action into its step, whose programs say what it must be.
Status add_action(const std::string& path, std::size_t number, const Json& line, RunTrace& run,
                  std::map<std::int64_t, Trace>& steps) {
  const auto ranks = run.schedule.programs.size();
  for (const char* key : {"step", "rank", "action", "begin_s", "end_s"}) {
    if (!line.contains(key)) return bad_line(path, number, fmt::format("has no \"{}\"", key));
  }
  const bool has_types = line["step"].is_number_integer() && line["rank"].is_number_integer() &&
                         line["action"].is_string() && line["begin_s"].is_number() &&
                         line["end_s"].is_number();
  if (!has_types || line["rank"] < 0 || line["rank"].get<std::size_t>() >= ranks) {
    return bad_line(path, number, "has a value of another type or a rank that the schedule lacks");
  }
  Trace& trace = steps[line["step"].get<std::int64_t>()];
  trace.resize(ranks);
  const auto rank = line["rank"].get<std::size_t>();
  const std::size_t position = trace[rank].size();
  if (position >= run.schedule.programs[rank].size()) {
    return bad_line(path, number, "is one action more than the program has");
  }
  TracedAction done;
  const std::vector<Action>& program = run.schedule.programs[rank];
  done.action = program[position];
  if (run.schedule.policy.decides()) {
    const std::string name = line["action"].get<std::string>();
    const auto chosen =
        std::ranges::find_if(program, [&](const Action& a) { return to_string(a) == name; });
    if (chosen == program.end()) return bad_line(path, number, "is no action of its rank");
    done.action = *chosen;
  }
  done.position = static_cast<int>(position);
  done.begin_s = line["begin_s"].get<double>();
  done.end_s = line["end_s"].get<double>();
  const bool is_named = line["action"].get<std::string>() == to_string(done.action);
  if (!is_named && done.action.verb != Verb::step) {
    return bad_line(path, number,
                    fmt::format("is not {}, which the program has there", to_string(done.action)));
  }
  trace[rank].push_back(done);
  return ok_status();
}

bool is_whole(const Schedule& schedule, const Trace& trace) {
  for (std::size_t rank = 0; rank < trace.size(); ++rank) {
    if (trace[rank].size() != schedule.programs[rank].size()) return false;
  }
  return true;
}

}  // namespace

Result<RunTraceWriter> RunTraceWriter::create(const std::string& path, const Schedule& schedule) {
  COLLIE_TRY(LineWriter writer, LineWriter::open(path, LineMode::replace));
  COLLIE_TRY_VOID(
      writer.append_line(Json{{"schedule", to_text(schedule, {.with_repeats = true})}}.dump()));
  return RunTraceWriter(std::move(writer));
}

Status RunTraceWriter::append(std::int64_t step, const Trace& trace) {
  for (std::size_t rank = 0; rank < trace.size(); ++rank) {
    for (const TracedAction& done : trace[rank]) {
      const Json line{{"step", step},
                      {"rank", rank},
                      {"action", to_string(done.action)},
                      {"begin_s", done.begin_s},
                      {"end_s", done.end_s}};
      COLLIE_TRY_VOID(writer_.append_line(line.dump()));
    }
  }
  return ok_status();
}

Result<RunTrace> read_run_trace(const std::string& given) {
  const std::string path = is_directory(given) ? join_path(given, "trace.jsonl") : given;
  COLLIE_TRY(const std::string text, read_file(path, limits::schedule_bytes_max));
  if (text.empty()) {
    return make_error(ErrorCode::invalid_file, "{}: is empty: train again with output.trace_steps",
                      path);
  }
  RunTrace run;
  std::map<std::int64_t, Trace> steps;
  // A killed run may leave its last line unfinished.
  std::istringstream lines(text.substr(0, text.rfind('\n') + 1));
  std::string line;
  for (std::size_t number = 1; std::getline(lines, line); ++number) {
    COLLIE_TRY(const Json json, parse_json(line, fmt::format("{}:{}", path, number)));
    if (!json.is_object()) return bad_line(path, number, "is not an object");
    if (number > 1) {
      COLLIE_TRY_VOID(add_action(path, number, json, run, steps));
      continue;
    }
    const auto schedule = json.find("schedule");
    if (schedule == json.end() || !schedule->is_string()) {
      return bad_line(path, number, "does not say which schedule the run followed");
    }
    COLLIE_TRY(run.schedule, parse_schedule(schedule->get<std::string>(), path));
  }
  if (run.schedule.programs.empty()) {
    return bad_line(path, 1, "does not say which schedule the run followed");
  }
  for (auto& [_, trace] : steps) {
    if (is_whole(run.schedule, trace)) run.steps.push_back(std::move(trace));
  }
  return run;
}

}  // namespace collie
