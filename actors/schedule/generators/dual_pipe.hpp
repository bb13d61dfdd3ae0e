// The program that DualPipe and DualPipeV share.
#pragma once

#include <vector>

#include "actors/schedule/generators/build.hpp"

namespace collie {

// How often a rank runs the steps of DualPipe's program, which go by these three numbers.
struct DualPipeShape {
  int half;      // ranks from the entry of a pipe to its middle
  int distance;  // of this rank from the entry
  int overlaps;  // rounds of step 4: two overlapped pairs each
};

// near: the chunk that is first on the micro-batches' way here, far: the one after the turn.
void append_dual_pipe(std::vector<Action>& program, DualPipeShape shape, Lane& near, Lane& far);

}  // namespace collie
