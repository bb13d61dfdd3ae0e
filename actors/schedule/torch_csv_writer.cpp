#include <algorithm>
#include <charconv>
#include <span>
#include <vector>

#include "actors/schedule/torch_csv.hpp"

namespace collie {

namespace {

template <class... Args>
Error unsupported(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(ErrorCode::unsupported, "a torch CSV cannot hold {}",
                    fmt::format(format, std::forward<Args>(args)...));
}

Status check_header(const Schedule& schedule) {
  if (schedule.placement.directions() != 1) {
    return unsupported("a bidirectional placement: each stage has one rank there");
  }
  if (schedule.slices != 1) {
    return unsupported("slices of micro-batches, of which this schedule has {}", schedule.slices);
  }
  if (!schedule.contract.synchronous || schedule.versions != Versions{}) {
    return unsupported("asynchronous schedules: it knows no weight versions");
  }
  return ok_status();
}

// The actions up to here are work; behind them stand only STEPs.
std::size_t work_size(const std::vector<Action>& program) {
  std::size_t size = program.size();
  while (size > 0 && program[size - 1].verb == Verb::step) --size;
  return size;
}

Status check_action(const Schedule& schedule, int rank, const Action& action) {
  const bool is_known = action.verb <= Verb::backward || action.verb >= Verb::send_activation;
  if (action.verb == Verb::step) {
    return unsupported("{} on rank {}: there the caller steps after the schedule",
                       to_string(action), rank);
  }
  if (!is_known) return unsupported("{} on rank {}", to_string(action), rank);
  const bool is_in_range = action.stage >= 0 && action.stage < schedule.stages() &&
                           action.micro_batch >= 0 && action.micro_batch < schedule.micro_batches &&
                           action.slice == 0 && action.direction == 0;
  if (!is_in_range)
    return unsupported("{} on rank {}, which is out of range", to_string(action), rank);
  const int home = schedule.placement.rank_of(action.stage);
  if (home == rank) return ok_status();
  return unsupported("{} on rank {}, for stage {} is on rank {}", to_string(action), rank,
                     action.stage, home);
}

void write_int(std::string& out, int value) {
  char digits[12];  // NOLINT(modernize-avoid-c-arrays)
  out.append(digits, std::to_chars(std::begin(digits), std::end(digits), value).ptr);
}

void write_action(std::string& out, const Action& action) {
  write_int(out, action.stage);
  out += letter(action.verb);
  if (has_micro_batch(action.verb)) write_int(out, action.micro_batch);
}

Status write_row(std::string& out, const Schedule& schedule, int rank,
                 std::span<const Action> program) {
  bool is_second = false;
  for (std::size_t i = 0; i < program.size(); ++i) {
    const Action& action = program[i];
    COLLIE_TRY_VOID(check_action(schedule, rank, action));
    if (action.overlaps_next && (is_second || i + 1 == program.size())) {
      return unsupported("{} on rank {}: two actions side by side, no more and no less",
                         to_string(action), rank);
    }
    if (i > 0 && !is_second) out += ',';
    if (action.overlaps_next) out += '(';
    write_action(out, action);
    if (action.overlaps_next) out += ';';
    if (is_second) out += ")OVERLAP_F_B";
    is_second = action.overlaps_next;
  }
  out += '\n';
  return ok_status();
}

// What a reader of the CSV would not learn.
Status check_inferred(const Schedule& schedule) {
  std::vector<bool> has_action(static_cast<std::size_t>(schedule.stages()));
  int micro_batches = 1;
  for (const std::vector<Action>& program : schedule.programs) {
    for (const Action& action : program) {
      if (action.verb == Verb::step) continue;
      has_action[static_cast<std::size_t>(action.stage)] = true;
      micro_batches = std::max(micro_batches, action.micro_batch + 1);
    }
  }
  const auto idle = std::ranges::find(has_action, false);
  if (idle != has_action.end()) {
    return unsupported("stage {}, which has no action", idle - has_action.begin());
  }
  if (micro_batches == schedule.micro_batches) return ok_status();
  return unsupported("micro-batch {}, which has no action", schedule.micro_batches - 1);
}

}  // namespace

Result<std::string> to_torch_csv(const Schedule& schedule, const TorchCsvOptions& options) {
  COLLIE_TRY_VOID(check_header(schedule));
  std::string out;
  for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
    std::span<const Action> program = schedule.programs[rank];
    if (options.leaves_steps_to_caller) {
      program = program.first(work_size(schedule.programs[rank]));
    }
    COLLIE_TRY_VOID(write_row(out, schedule, static_cast<int>(rank), program));
  }
  COLLIE_TRY_VOID(check_inferred(schedule));
  return out;
}

}  // namespace collie
