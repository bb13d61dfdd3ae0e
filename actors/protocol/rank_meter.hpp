// Measures how a rank spends its rounds: time on its stream, messages in its inboxes. Two rounds
// may be under way: see TraceRecorder. Pure: the times come with the completions.
#pragma once

#include <cstdint>
#include <map>

#include "actors/protocol/work.hpp"

namespace collie {

class RankMeter {
 public:
  // waiting: messages that are there already.
  void begin_round(std::uint32_t round, std::size_t waiting);
  // A message was accepted; with it so many wait in all inboxes of the rank.
  void waits(std::size_t messages);
  void completed(const Completion& completion);
  RankUse take(std::uint32_t round);

 private:
  struct Round {
    RankUse use;
    double begin_s = 0.0, end_s = 0.0;
    bool has_begun = false;
  };
  std::map<std::uint32_t, Round> rounds_;
  std::uint32_t present_ = 0;
};

}  // namespace collie
