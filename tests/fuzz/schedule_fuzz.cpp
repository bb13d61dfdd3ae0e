// libFuzzer target: the same bytes as a schedule file and as a torch CSV. What reads must be well
// formed, and print and read as the same again, plain and folded.
#include <cstddef>
#include <cstdint>

#include "actors/schedule/text_format.hpp"
#include "actors/schedule/torch_csv.hpp"

using namespace collie;

namespace {

constexpr std::size_t actions_max = 5000;

void check_error(const Error& error) {
  COLLIE_CHECK(error.message.find('\n') == std::string::npos, "a message of two lines");
}

void check_well_formed(const Schedule& schedule) {
  COLLIE_CHECK(schedule.action_count() <= actions_max, "more actions than asked for");
  for (const std::vector<Action>& program : schedule.programs) {
    COLLIE_CHECK(program.empty() || !program.back().overlaps_next, "half a pair");
    for (const Action& action : program) {
      COLLIE_CHECK(action.stage >= 0 && action.stage < schedule.stages(), "a stage");
      COLLIE_CHECK(action.direction >= 0 && action.direction < schedule.placement.directions(),
                   "a direction");
      COLLIE_CHECK(action.slice >= 0 && action.slice < schedule.slices, "a slice");
      COLLIE_CHECK(!has_micro_batch(action.verb) ||
                       (action.micro_batch >= 0 && action.micro_batch < schedule.micro_batches),
                   "a micro-batch");
    }
  }
}

void check_prints(const Schedule& schedule) {
  check_well_formed(schedule);
  for (const bool with_repeats : {false, true}) {
    const auto again = parse_schedule(to_text(schedule, {.with_repeats = with_repeats}), "printed");
    COLLIE_CHECK(again.ok(), "the printed schedule does not read: {}", again.error().message);
    COLLIE_CHECK(*again == schedule, "printing is not stable");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto schedule = parse_schedule(text, "fuzz", actions_max);
  if (schedule.ok()) {
    check_prints(*schedule);
  } else {
    check_error(schedule.error());
  }
  const auto csv = parse_torch_csv(text, "fuzz.csv", actions_max);
  if (!csv.ok()) {
    check_error(csv.error());
    return 0;
  }
  check_prints(csv->schedule);
  const auto written = to_torch_csv(csv->schedule);
  COLLIE_CHECK(written.ok(), "a CSV that was read is not written: {}", written.error().message);
  const auto again = parse_torch_csv(*written, "fuzz.csv");
  COLLIE_CHECK(again.ok() && again->schedule == csv->schedule, "the CSV is not stable");
  return 0;
}
