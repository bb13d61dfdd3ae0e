// How well the ranks of a grid were used in one step. Pure.
#pragma once

#include <span>

namespace collie {

struct RankUse;

// Over all ranks of all replicas. A rank's bubble is the share of the step's cost that its stream
// idles, (cost - busy) / cost, with cost the longest that a rank took from the begin of its first
// action to the end of its last (Qi et al. 2023, Zero Bubble Pipeline Parallelism, section 5.2;
// Figures::bubble_span is the mean of a simulated step). Exchanges of gradients and the update,
// which end a synchronous step, are no part of it, waits at reductions within actions are idle
// time. Mailbox depth: most messages that waited for a rank at once, those that began to wait
// before the step included.
struct Utilisation {
  double bubble_mean = 0.0, bubble_max = 0.0;
  double mailbox_depth_mean = 0.0;
  int mailbox_depth_max = 0;
  int rank_count = 0;  // that have been measured; the rest is 0 where there is none
};
Utilisation utilisation_of(std::span<const RankUse> ranks);

}  // namespace collie
