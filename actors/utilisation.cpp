#include "actors/utilisation.hpp"

#include <algorithm>

#include "actors/messages.hpp"

namespace collie {

Utilisation utilisation_of(std::span<const RankUse> ranks) {
  Utilisation all;
  double cost_s = 0.0;
  for (const RankUse& rank : ranks) cost_s = std::max(cost_s, rank.span_s);
  for (const RankUse& rank : ranks) {
    if (!rank.is_measured) continue;
    const double bubble = cost_s > 0.0 ? (cost_s - rank.busy_s) / cost_s : 0.0;
    all.bubble_mean += bubble;
    all.bubble_max = std::max(all.bubble_max, bubble);
    all.mailbox_depth_mean += rank.mailbox_depth;
    all.mailbox_depth_max = std::max(all.mailbox_depth_max, rank.mailbox_depth);
    ++all.rank_count;
  }
  if (all.rank_count == 0) return all;
  all.bubble_mean /= all.rank_count;
  all.mailbox_depth_mean /= all.rank_count;
  return all;
}

}  // namespace collie
