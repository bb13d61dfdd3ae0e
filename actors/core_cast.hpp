// All cores of a world that runs in one thread, and what happens to them: a message arrives, a work
// is done. When and in which order is the world's own.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "actors/world.hpp"

namespace collie {

class CoreCast {
 public:
  // Places: ranks count from 0.
  static constexpr int trainer_place = -2, feeder_place = -1;

  CoreCast(WorldOptions options, Executors executors);

  std::size_t rank_count() const { return ranks_.size(); }
  int place_of(const Address& address) const;
  // What the receiver then wants.
  Commands deliver(int place, Send send);
  // Done at once; note: changes the completion before the rank hears of it, may be empty.
  Commands execute(std::size_t rank, Work work,
                   const std::function<void(Completion&)>& note = nullptr);
  // A round to its end: `perform` takes what somebody at a place wants, `step_once` lets one thing
  // happen (false: nothing can).
  Result<RoundOutcome> round(const RoundRequest& request, const std::optional<RoundRequest>& next,
                             const std::function<void(int, Commands)>& perform,
                             const std::function<bool()>& step_once);

 private:
  Error stuck() const;

  WorldOptions options_;
  Executors executors_;
  TrainerCore trainer_;
  FeederCore feeder_;
  std::vector<std::size_t> hosts_;  // of each shard: its rank
  std::vector<RankCore> ranks_;
  std::optional<Error> broken_;
};

}  // namespace collie
