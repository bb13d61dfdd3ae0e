// Protocol tests read as sentences: commands become short lines of text.
#pragma once

#include <string>
#include <vector>

#include "actors/protocol/work.hpp"

namespace collie::testing {

inline std::string name_of(WorkKind kind) {
  switch (kind) {
    case WorkKind::begin_round:
      return "begin";
    case WorkKind::forward:
      return "forward";
    case WorkKind::backward_input:
      return "backward_input";
    case WorkKind::backward_weight:
      return "backward_weight";
    case WorkKind::backward:
      return "backward";
    case WorkKind::recompute:
      return "recompute";
    case WorkKind::predict:
      return "predict";
    case WorkKind::fence:
      return "fence";
    case WorkKind::resume:
      return "resume";
    case WorkKind::prepare:
      return "prepare";
    case WorkKind::combine:
      return "combine";
    case WorkKind::report:
      return "report";
    case WorkKind::update:
      return "update";
    case WorkKind::optimize:
      return "optimize";
    case WorkKind::validate:
      return "validate";
    case WorkKind::roll_back:
      return "roll_back";
    case WorkKind::fetch:
      return "fetch";
  }
  return "?";
}

inline std::string name_of(Purpose purpose) {
  switch (purpose) {
    case Purpose::forward:
      return "forward";
    case Purpose::backward:
      return "backward";
    case Purpose::shard_gradients:
      return "shard_gradients";
    case Purpose::tied_gradients:
      return "tied_gradients";
    case Purpose::replica_sum:
      return "replica_sum";
    case Purpose::replica_gather:
      return "replica_gather";
    case Purpose::optimizer:
      return "optimizer";
    case Purpose::fence:
      return "fence";
    case Purpose::weights:
      return "weights";
    case Purpose::recompute:
      return "recompute";
    case Purpose::replica_forward:
      return "replica_forward";
    case Purpose::replica_backward:
      return "replica_backward";
    case Purpose::replica_optimizer:
      return "replica_optimizer";
    case Purpose::replica_weights:
      return "replica_weights";
    case Purpose::replica_recompute:
      return "replica_recompute";
    case Purpose::value_request:
      return "value_request";
    case Purpose::values:
      return "values";
  }
  return "?";
}

inline std::string name_of(const Address& to) {
  if (to.role == Role::trainer) return "trainer";
  if (to.role == Role::feeder) return "feeder";
  return fmt::format("{}.{}.{}", to.shard.replica, to.shard.stage, to.shard.tensor);
}

inline std::string name_of(const Message& message) {
  constexpr const char* names[] = {"begin_round", "apply",      "tokens",       "activation",
                                   "gradient",    "credit",     "contribution", "report",
                                   "step_done",   "round_data", "failed",       "partial_norm",
                                   "sampled"};
  std::string name = names[message.index()];
  const std::uint32_t micro_batch = stamp_of(message).micro_batch;
  if (const auto* part = std::get_if<Contribution>(&message)) {
    return fmt::format("{} {} {}.{}", name, name_of(part->purpose), micro_batch, part->sequence);
  }
  if (const auto* credit = std::get_if<Credit>(&message)) {
    name += credit->link == Link::activation ? " activation" : " gradient";
  }
  return fmt::format("{} {}", name, micro_batch);
}

// "forward 2" is work for the stream; "activation 2 -> 0.1.0" a message to replica 0 stage 1 shard
// 0.
inline std::string sentence(const Command& command) {
  if (const auto* work = std::get_if<Work>(&command)) {
    std::string text = name_of(work->kind);
    if (work->kind == WorkKind::prepare || work->kind == WorkKind::combine) {
      return text + " " + name_of(work->purpose);
    }
    return fmt::format("{} {}", text, work->stamp.micro_batch);
  }
  const Send& send = std::get<Send>(command);
  return fmt::format("{} -> {}", name_of(send.message), name_of(send.to));
}

// All of them, and the list is empty again.
inline std::string told(Commands& commands) {
  std::string text;
  for (const Command& command : commands) {
    text += (text.empty() ? "" : ", ") + sentence(command);
  }
  commands.clear();
  return text;
}

}  // namespace collie::testing
