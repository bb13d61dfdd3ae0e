// trace.jsonl of a run's directory: the schedule that the run followed, then one line for each
// action of each traced step.
//
//   {"schedule": "schedule 1\nname 1f1b\n..."}
//   {"step": 2, "rank": 0, "action": "0F3", "begin_s": 12.25, "end_s": 12.5}
//
// A resumed run writes it anew.
#pragma once

#include <string>
#include <vector>

#include "actors/schedule/conformance.hpp"
#include "runtime/file.hpp"

namespace collie {

class RunTraceWriter {
 public:
  static Result<RunTraceWriter> create(const std::string& path, const Schedule& schedule);
  Status append(std::int64_t step, const Trace& trace);

 private:
  explicit RunTraceWriter(LineWriter writer) : writer_(std::move(writer)) {}
  LineWriter writer_;
};

struct RunTrace {
  Schedule schedule;
  std::vector<Trace> steps;  // whole ones only: a killed run may leave a part
};

// path: of the file, or of the run's directory. Errors name the file and the line.
Result<RunTrace> read_run_trace(const std::string& path);

}  // namespace collie
