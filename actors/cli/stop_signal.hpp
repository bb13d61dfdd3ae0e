// Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends the process at once.
#pragma once

#include <atomic>
#include <string_view>

namespace collie::cli {

enum class InterruptedReads { go_on, fail };

// Becomes true at the first SIGINT, SIGTERM or SIGHUP, which also prints the notice (with its
// newline, static storage). The second signal is _exit(130). A signal that was ignored when the
// program started (nohup) stays so. Call once.
const std::atomic<bool>& watch_stop_signals(std::string_view notice, InterruptedReads reads);

}  // namespace collie::cli
