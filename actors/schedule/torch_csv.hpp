// The CSV files of torch.distributed.pipelining (PyTorch), in both kinds: compute only, and lowered
// with communication. One row per rank, one action per cell: "[stage][verb][micro-batch]" with the
// verbs F I W B, SEND_F RECV_F SEND_B RECV_B (and WAIT_SEND_F WAIT_SEND_B), and without micro-batch
// UNSHARD RESHARD REDUCE_GRAD (and WAIT_REDUCE_GRAD); "(0F4;7B0)OVERLAP_F_B" for two side by side.
// An empty cell is an idle slot. B is the full backward there too.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "actors/schedule/schedule.hpp"
#include "runtime/limits.hpp"

namespace collie {

struct TorchCsv {
  // Stages, micro-batches and placement are what the cells tell. Nothing is added: there is no STEP
  // (in PyTorch the caller steps after the schedule), and the channel is our default.
  Schedule schedule;
  std::size_t idle_slots = 0;      // empty cells: programs here are orders, so these leave no trace
  bool has_communication = false;  // the file was of the lowered kind
};

// file is named in errors ("FILE:ROW:COLUMN: ...") and, without folder and suffix, the schedule's
// name. Stricter than PyTorch, which ignores letters behind an action's micro-batch.
Result<TorchCsv> parse_torch_csv(std::string_view text, std::string_view file,
                                 std::size_t actions_max = limits::schedule_actions_max);

struct TorchCsvOptions {
  // STEPs behind all work of a rank are left to the caller. Otherwise they are an error.
  bool leaves_steps_to_caller = false;
};

// Rows end with a line feed. What a CSV cannot hold is an error that names it: replicas and slices,
// weight versions and asynchronous contracts, R, PIN, DROP, PREDICT, FENCE, STEP (but see above).
// Name and channel are not written: PyTorch has its own.
Result<std::string> to_torch_csv(const Schedule& schedule, const TorchCsvOptions& options = {});

}  // namespace collie
