// The protocol of the feeder: a round's data, which is a function of its step, goes to every shard.
#pragma once

#include <cstdint>
#include <functional>
#include <set>

#include "actors/protocol/work.hpp"

namespace collie {

// One replica's micro-batch of a step; its loss_scale is the feeder's to set.
using BatchSource =
    std::function<MicroBatch(Mode mode, std::int64_t step, int replica, int micro_batch)>;

class FeederCore {
 public:
  // group: micro-batches of one update, whose tokens together weigh 1; 0: the whole global batch.
  // slices: in training each micro-batch goes out as so many units, whole, with a note which part
  // of its sequence is meant: micro_batch of a unit's stamp counts them (unit_of in hosting.hpp).
  FeederCore(std::uint64_t run, std::uint32_t generation, Grid grid, BatchSource source,
             int group = 0, int slices = 1);
  void receive(const Message& message, Commands& out);

 private:
  void weigh(std::vector<MicroBatch>& batches, bool trains) const;
  void send(int replica, const Stamp& stamp, const MicroBatch& batch, Commands& out) const;

  std::uint64_t run_;
  std::uint32_t generation_;
  Grid grid_;
  BatchSource source_;
  int group_;
  int slices_;
  std::set<std::uint32_t> fed_;  // the last few rounds: with post-validation two are under way
};

}  // namespace collie
