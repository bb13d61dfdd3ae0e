#include "actors/schedule/files.hpp"

#include "actors/schedule/generators/build.hpp"
#include "actors/schedule/text_format.hpp"
#include "actors/schedule/torch_csv.hpp"
#include "runtime/file.hpp"

namespace collie {

namespace {

Schedule with_callers_steps(Schedule schedule) {
  bool trains = false;
  for (const std::vector<Action>& program : schedule.programs) {
    for (const Action& action : program) {
      if (action.verb == Verb::step) return schedule;
      trains = trains || makes_weight_gradient(action.verb);
    }
  }
  return trains ? with_steps(std::move(schedule)) : schedule;
}

}  // namespace

bool is_schedule_file(std::string_view name) {
  return name.ends_with(".schedule") || name.ends_with(".csv");
}

Result<Schedule> read_schedule(const std::string& path) {
  COLLIE_TRY(const std::string text, read_file(path, limits::schedule_bytes_max));
  if (!path.ends_with(".csv")) return parse_schedule(text, path);
  COLLIE_TRY(TorchCsv csv, parse_torch_csv(text, path));
  return with_callers_steps(std::move(csv.schedule));
}

}  // namespace collie
