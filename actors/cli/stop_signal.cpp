#include "actors/cli/stop_signal.hpp"

#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "actors/cli/command.hpp"

namespace collie::cli {

namespace {

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only use such");
std::string_view stop_notice;

extern "C" void handle_stop_signal(int) {
  const int saved_errno = errno;
  if (stop_requested.exchange(true)) _exit(exit_stopped);
  // Nothing can be done where the notice cannot be written.
  [[maybe_unused]] const auto written =
      write(STDERR_FILENO, stop_notice.data(), stop_notice.size());
  errno = saved_errno;
}

}  // namespace

const std::atomic<bool>& watch_stop_signals(std::string_view notice, InterruptedReads reads) {
  stop_notice = notice;
  struct sigaction action {};
  action.sa_handler = handle_stop_signal;
  action.sa_flags = reads == InterruptedReads::go_on ? SA_RESTART : 0;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    if (sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    sigaction(signal, &action, nullptr);
  }
  return stop_requested;
}

}  // namespace collie::cli
