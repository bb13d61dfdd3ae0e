#include "actors/protocol/fence_gate.hpp"

namespace collie {

bool FenceGate::may_pass(const Stamp& stamp, Inbox& inbox, Commands& out) {
  if (!is_waiting_) parts_.begin(ranks_, stamp, passed_, Tensor(), out);
  is_waiting_ = !parts_.is_complete(inbox);
  if (is_waiting_) return false;
  parts_.take(inbox);
  ++passed_;
  return true;
}

std::string FenceGate::describe() const {
  return fmt::format("FENCE {}", passed_ + 1);
}

}  // namespace collie
