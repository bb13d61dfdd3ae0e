// Schedules on disk: our text format and PyTorch's CSV, told apart by the suffix.
#pragma once

#include <string>
#include <string_view>

#include "actors/schedule/schedule.hpp"

namespace collie {

// "x.schedule" or "x.csv"; anything else is a generator's name.
bool is_schedule_file(std::string_view name);

// Reads and parses; what is not a CSV is a schedule file. PyTorch leaves STEP to its caller: a CSV
// that trains and has none gets one for every stage at the end of its rank's program. Errors name
// the file, the place in it, and what would be right.
Result<Schedule> read_schedule(const std::string& path);

}  // namespace collie
