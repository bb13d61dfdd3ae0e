#include "actors/protocol/feeder_core.hpp"

#include <algorithm>

namespace collie {

FeederCore::FeederCore(std::uint64_t run, std::uint32_t generation, Grid grid, BatchSource source,
                       int group, int slices)
    : run_(run),
      generation_(generation),
      grid_(grid),
      source_(std::move(source)),
      group_(group),
      slices_(slices) {}

// Every token of one update weighs the same.
void FeederCore::weigh(std::vector<MicroBatch>& batches, bool trains) const {
  const std::size_t group =
      group_ > 0 && trains ? static_cast<std::size_t>(group_) : batches.size();
  for (std::size_t begin = 0; begin < batches.size(); begin += group) {
    const std::size_t end = std::min(begin + group, batches.size());
    std::int64_t tokens = 0;
    for (std::size_t i = begin; i < end; ++i) tokens += batches[i].valid_tokens;
    const float scale = tokens > 0 ? 1.0F / static_cast<float>(tokens) : 0.0F;
    for (std::size_t i = begin; i < end; ++i) batches[i].loss_scale = scale;
  }
}

void FeederCore::receive(const Message& message, Commands& out) {
  const auto* begin = std::get_if<BeginRound>(&message);
  if (begin == nullptr || begin->stamp.run != run_ || begin->stamp.generation != generation_) {
    return;
  }
  // A beginning that was overtaken is of one of the last rounds; an older one is a repeated one.
  const std::uint32_t round = begin->stamp.round;
  if ((!fed_.empty() && round + 2 < *fed_.rbegin()) || !fed_.insert(round).second) return;
  std::erase_if(fed_, [&](std::uint32_t old) { return old + 2 < *fed_.rbegin(); });
  // The weight of a token needs the whole global batch, so all of it is drawn before any is sent.
  std::vector<MicroBatch> batches;
  RoundData data{begin->stamp, 0, 0};
  for (int replica = 0; replica < grid_.dp; ++replica) {
    for (int mb = 0; mb < begin->micro_batches; ++mb) {
      batches.push_back(source_(begin->mode, begin->step, replica, mb));
      data.valid_tokens += batches.back().valid_tokens;
      data.tokens += batches.back().rows * batches.back().sequence;
    }
  }
  out.emplace_back(Send{Address{Role::trainer, {}}, data});
  weigh(batches, begin->mode == Mode::train);
  for (int mb = 0; mb < begin->micro_batches; ++mb) {
    for (int replica = 0; replica < grid_.dp; ++replica) {
      MicroBatch& batch = batches[static_cast<std::size_t>(replica * begin->micro_batches + mb)];
      if (begin->mode == Mode::generate && batch.rows == 0) continue;  // behind the last prompt
      batch.slice.count = begin->mode == Mode::train ? slices_ : 1;
      batch.label_draw = begin->curvature;
      for (int slice = 0; slice < batch.slice.count; ++slice) {
        batch.slice.index = slice;
        Stamp stamp = begin->stamp;
        stamp.micro_batch = static_cast<std::uint32_t>(mb * batch.slice.count + slice);
        send(replica, stamp, batch, out);
      }
    }
  }
}

void FeederCore::send(int replica, const Stamp& stamp, const MicroBatch& batch,
                      Commands& out) const {
  for (int stage = 0; stage < grid_.pp; ++stage) {
    for (int tensor = 0; tensor < grid_.tp; ++tensor) {
      out.emplace_back(Send{shard_address({replica, stage, tensor}), Tokens{stamp, batch}});
    }
  }
}

}  // namespace collie
