// ModelExecutor: values that other replicas hold (ZeRO-3).
#include <algorithm>

#include "actors/shard_executor_impl.hpp"
#include "kernels/elementwise.hpp"

namespace collie {

namespace {

std::vector<int> owners_of(const Parameters& parameters, const StoreRange& range) {
  const bool is_trained = range.begin < parameters.trainable_elements();
  const auto& shares = is_trained ? parameters.shares() : parameters.frozen_shares();
  std::vector<int> owners;
  for (std::size_t replica = 0; replica < shares.size(); ++replica) {
    const std::int64_t begin = std::max(range.begin, shares[replica].begin);
    if (begin < std::min(range.end, shares[replica].end)) {
      owners.push_back(static_cast<int>(replica));
    }
  }
  return owners;
}

}  // namespace

ValueLayout ModelExecutor::value_layout() const {
  ValueLayout layout;
  const Parameters& parameters = impl_->model->parameters();
  layout.weights_read_values = impl_->model->weights_read_values();
  layout.copies = impl_->options.zero_copies;
  layout.prefetch = impl_->options.zero_prefetch;
  for (const std::vector<StoreRange>& ranges : impl_->model->value_ranges()) {
    std::vector<ValueUnit>& segment = layout.segments.emplace_back();
    for (const StoreRange& range : ranges) {
      segment.push_back({parameters.held_computes(range), owners_of(parameters, range)});
    }
  }
  return layout;
}

Completion ModelExecutor::Impl::copy_values(const Work& work) {
  Completion completion;
  completion.kind = work.kind;
  completion.shard = work.shard;
  completion.stamp = work.stamp;
  completion.parts = work.parts;
  for (std::size_t replica = 0; replica < work.parts.size(); ++replica) {
    const Tensor& part = work.parts[replica];
    if (!part || static_cast<int>(replica) == options.self.replica) continue;
    // Of the shard's own memory: a room is dropped, and used anew, on the shard's stream.
    Tensor room = allocate_tensor(stream->allocator(), part.dtype(), part.shape());
    kernels::cast(*copies, part, room);
    completion.parts[replica] = std::move(room);
  }
  return completion;
}

}  // namespace collie
