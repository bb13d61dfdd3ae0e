#include "actors/protocol/feeder_core.hpp"

namespace collie {

FeederCore::FeederCore(std::uint64_t run, std::uint32_t generation, Grid grid, BatchSource source)
    : run_(run), generation_(generation), grid_(grid), source_(std::move(source)) {}

void FeederCore::receive(const Message& message, Commands& out) {
  const auto* begin = std::get_if<BeginRound>(&message);
  if (begin == nullptr || begin->stamp.run != run_ || begin->stamp.generation != generation_ ||
      begin->stamp.round <= round_) {
    return;
  }
  round_ = begin->stamp.round;
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
  const float scale = data.valid_tokens > 0 ? 1.0F / static_cast<float>(data.valid_tokens) : 0.0F;
  for (int mb = 0; mb < begin->micro_batches; ++mb) {
    for (int replica = 0; replica < grid_.dp; ++replica) {
      MicroBatch& batch = batches[static_cast<std::size_t>(replica * begin->micro_batches + mb)];
      batch.loss_scale = scale;
      Stamp stamp = begin->stamp;
      stamp.micro_batch = static_cast<std::uint32_t>(mb);
      for (int stage = 0; stage < grid_.pp; ++stage) {
        for (int tensor = 0; tensor < grid_.tp; ++tensor) {
          out.emplace_back(Send{shard_address({replica, stage, tensor}), Tokens{stamp, batch}});
        }
      }
    }
  }
}

}  // namespace collie
