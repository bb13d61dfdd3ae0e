// Where the numbers of a run go. One record is told to every sink; each writes what its format can
// hold. All are in the file when write() returns.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/json.hpp"
#include "runtime/result.hpp"

namespace collie {

struct MetricRecord {
  std::string_view event;  // "step", "evaluation", "start", ...
  std::int64_t step = 0;   // after this many steps
  double time_s = 0.0;     // since 1970
  bool is_series = false;  // its numbers are points of curves over the steps
  Json fields;             // a flat object; of a series its numbers but for "step" are the points
};

class MetricSink {
 public:
  virtual ~MetricSink() = default;
  // The first error stays: later records are refused with it.
  virtual Status write(const MetricRecord& record) = 0;
  virtual Status sync() = 0;
};

// A session of a run begins at first_step (from 1). What an earlier session that was killed has
// written for this step or later ones is superseded, in the way of each format. The directory must
// exist. Errors name the file.

// {"event": ..., <fields>} a line. An earlier session's lines stay: the later of two counts.
Result<std::unique_ptr<MetricSink>> open_json_lines_sink(const std::string& path);

// "step,time_s,event,name,value": a line for each number of a series, so that metrics may come and
// go and files of several runs can be put together. An earlier session's lines from first_step on
// are cut off. A file with another first line is refused.
Result<std::unique_ptr<MetricSink>> open_csv_sink(const std::string& path, std::int64_t first_step);

// TensorBoard event files in directory/tensorboard, a new one each session; it begins with the mark
// that makes readers drop an earlier session's points from first_step on. Curves are train/<name>
// for steps and <event>/<name> otherwise; other records are texts, run/<event>.
Result<std::unique_ptr<MetricSink>> open_tensorboard_sink(const std::string& directory,
                                                          std::int64_t first_step);

}  // namespace collie
