// The protocol of the feeder: a round's data, which is a function of its step, goes to every shard.
#pragma once

#include <functional>

#include "actors/protocol/work.hpp"

namespace collie {

// One replica's micro-batch of a step; its loss_scale is the feeder's to set.
using BatchSource =
    std::function<MicroBatch(Mode mode, std::int64_t step, int replica, int micro_batch)>;

class FeederCore {
 public:
  // group: micro-batches of one update, whose tokens together weigh 1; 0: the whole global batch.
  FeederCore(std::uint64_t run, std::uint32_t generation, Grid grid, BatchSource source,
             int group = 0);
  void receive(const Message& message, Commands& out);

 private:
  void weigh(std::vector<MicroBatch>& batches, bool trains) const;

  std::uint64_t run_;
  std::uint32_t generation_;
  Grid grid_;
  BatchSource source_;
  int group_;
  std::uint32_t round_ = 0;
};

}  // namespace collie
