// The protocol on a clock of its own: cores and executors as in the other worlds, but works take
// the time that a cost function says and messages the time that they are given, so that idle times
// and overlaps are exact numbers. Events at one time happen in the order they were made.
#pragma once

#include <functional>

#include "actors/world.hpp"

namespace collie {

struct TimeModel {
  // Of one work on its stream; of a work that pauses at reductions: of each piece. Copies of values
  // (WorkKind::fetch) are beside the others, one after the other. Never negative.
  std::function<double(const Work&)> seconds;
  double message_s = 0.0;
};

class TimedWorld : public World {
 public:
  virtual double now_s() const = 0;
};

// Executors must have been made with inline streams.
std::unique_ptr<TimedWorld> make_timed_world(WorldOptions options, Executors executors,
                                             TimeModel times);

}  // namespace collie
