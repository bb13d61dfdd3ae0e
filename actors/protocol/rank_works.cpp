// RankCore: what work an action is, and what its messages give it.
#include <utility>

#include "actors/protocol/rank_core.hpp"

namespace collie {

void RankCore::set_versions(std::size_t hosted, Work& work) const {
  if (!config_.is_asynchronous() || mode_ != Mode::train) return;
  work.version = config_.version_uses[cursor_.position()];
  // For corrections of delay: of an update its own number, of other work those before.
  work.apply.optimizer_step = begin_.step * updates_per_round_[hosted] + updates_[hosted];
  work.apply.learning_rate = begin_.learning_rate;
}

Work RankCore::forward_work(const Action& action, Commands& out) {
  const Stamp at = stamp(action.micro_batch);
  const std::size_t hosted = cursor_.hosted_index(action);
  Inbox& inbox = inboxes_[hosted];
  Work work;
  work.kind = WorkKind::forward;
  work.keeps_input = mode_ == Mode::train && cursor_.is_recomputed(action);
  work.batch = std::get<Tokens>(inbox.take(tokens_key(at.round, at.micro_batch))).batch;
  if (cursor_.takes_activation(action)) {
    Message input = inbox.take(activation_key(at.round, at.micro_batch));
    work.tensor = std::move(std::get<Activation>(input).tensor_td);
    if (!cursor_.hosted(hosted).previous_is_here) {
      send_to_stage(hosted, -1, Credit{at, Link::activation}, out);
    }
  }
  return work;
}

Work RankCore::backward_work(const Action& action, Commands& out) {
  const Stamp at = stamp(action.micro_batch);
  const std::size_t hosted = cursor_.hosted_index(action);
  Work work;
  work.kind = action.verb == Verb::backward ? WorkKind::backward : WorkKind::backward_input;
  if (cursor_.takes_gradient(action)) {
    Message input = inboxes_[hosted].take(gradient_key(at.round, at.micro_batch));
    work.tensor = std::move(std::get<Gradient>(input).tensor_td);
    if (!cursor_.hosted(hosted).next_is_here) {
      send_to_stage(hosted, +1, Credit{at, Link::gradient}, out);
    }
  }
  return work;
}

Work RankCore::update_work(std::size_t hosted) {
  ++updates_[hosted];
  Work work;
  work.kind = WorkKind::update;
  work.clip_norm = begin_.clip_norm;
  return work;
}

// A shard that updates within its backward does so with the last of them.
void RankCore::count_weights(std::size_t hosted, Work& work) {
  if (config_.is_asynchronous()) return;
  work.ends_backward = --weights_left_[hosted] == 0;
  work.apply.optimizer_step = begin_.step + 1;
  work.apply.learning_rate = begin_.learning_rate;
  work.clip_norm = begin_.clip_norm;
}

}  // namespace collie
