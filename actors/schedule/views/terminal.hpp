// A timeline for a terminal: one line a rank, one column a slice of time. Pure.
#pragma once

#include <string>

#include "actors/schedule/views/picture.hpp"

namespace collie {

struct TerminalOptions {
  int width = 100;      // columns of the whole line
  bool colour = false;  // ANSI; without it the verbs' letters are written
  double from = 0.0;    // the window of time shown
  double to = 0.0;      // 0: the end
};

// A ruler of time, a lane a rank, idle time as dots, and a line that says what the letters mean. An
// action shows verb and micro-batch where both fit, else what fits. F and B that overlap share
// their time: the first half shows the one, the second the other. invalid_config: an empty window.
Result<std::string> terminal_timeline(const Picture& picture, const TerminalOptions& options);

}  // namespace collie
