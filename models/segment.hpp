// A decoder is a list of segments: embedding, attention half, MLP half, head. A segment is
// single-device code; where its result needs the other tensor shards of its stage it *declares* a
// reduction and goes on when the reduction has been performed by whoever runs it.
//
// The declaration is a coroutine's co_yield:
//
//   Steps AttentionHalf::forward(...) {
//     ...
//     kernels::linear_forward(stream, context, w_o, no_bias, partial);
//     co_yield sum_over_shards(partial);  // with one shard, nothing happens here
//     hidden.delta = partial;
//   }
#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "models/batch.hpp"
#include "runtime/stream.hpp"

namespace collie {

enum class ReduceOp {
  sum,     // *tensor becomes the sum over the group's shards, in rank order
  gather,  // *parts becomes every shard's *tensor, in rank order
           // (either may be tensors that all shards share, frozen: segments only read them)
};

// Who takes part: the tensor shards of the stage, or this shard in every replica of the model. All
// members of a group declare the same reductions of it in the same order.
enum class ReduceGroup { tensor, replicas };

// Valid until the coroutine that yielded it is resumed.
struct Reduction {
  ReduceOp op = ReduceOp::sum;
  Tensor* tensor = nullptr;
  std::vector<Tensor>* parts = nullptr;
  ReduceGroup group = ReduceGroup::tensor;
  int only_to = -1;      // gather: the one rank that gets the parts, the others get none; -1: all
  bool is_live = false;  // the others read *tensor where it stands, so it is not frozen
  // Unless -1, a gather of values that may have been asked for before: which unit of the stage's.
  int unit = -1;
};

inline Reduction sum_over_shards(Tensor& tensor) {
  return {ReduceOp::sum, &tensor, nullptr};
}
inline Reduction gather_over_shards(Tensor& tensor, std::vector<Tensor>& parts) {
  return {ReduceOp::gather, &tensor, &parts};
}
// Only one shard gets the parts.
inline Reduction gather_at_shard(int rank, Tensor& tensor, std::vector<Tensor>& parts) {
  return {ReduceOp::gather, &tensor, &parts, ReduceGroup::tensor, rank};
}
// With one replica nothing happens, as with one shard.
inline Reduction sum_over_replicas(Tensor& tensor) {
  return {ReduceOp::sum, &tensor, nullptr, ReduceGroup::replicas};
}
inline Reduction gather_over_replicas(Tensor& tensor, std::vector<Tensor>& parts) {
  return {ReduceOp::gather, &tensor, &parts, ReduceGroup::replicas};
}
inline Reduction gather_at_replica(int rank, Tensor& tensor, std::vector<Tensor>& parts) {
  return {ReduceOp::gather, &tensor, &parts, ReduceGroup::replicas, rank};
}
// tensor: of a store that lives on. It must not be written before every replica has read it; what
// follows the end of the step's update is late enough, for a round is a barrier.
inline Reduction share_with_replicas(Tensor& tensor, std::vector<Tensor>& parts) {
  return {ReduceOp::gather, &tensor, &parts, ReduceGroup::replicas, -1, true};
}

// Code that runs straight on to its next reduction, or to its end. Move-only; owns the coroutine.
class Steps {
 public:
  struct promise_type {
    Reduction reduction;
    Steps get_return_object() {
      return Steps(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(Reduction declared) {
      reduction = declared;
      return {};
    }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };

  Steps() = default;
  explicit Steps(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Steps(Steps&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Steps& operator=(Steps&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Steps() {
    if (handle_) handle_.destroy();
  }

  // True: stopped at a reduction, which the caller performs before it advances again.
  // False: finished.
  bool advance() {
    handle_.resume();
    return !handle_.done();
  }
  const Reduction& reduction() const { return handle_.promise().reduction; }

 private:
  std::coroutine_handle<promise_type> handle_;
};

// Runs steps to their end where there is only one shard: a sum is itself, a gather has one part.
void run_alone(Steps& steps);

// The residual stream between segments: its value is x + delta (delta may be undefined), so that
// the next segment's norm can fuse the addition.
struct Hidden {
  Tensor x_td;
  Tensor delta_td;
};

// One layer's key/value cache of one row for generation; see kernels::attention_with_cache.
struct LayerCache {
  Tensor cache;
  std::int64_t length = 0;
};

// One layer's keys and values of a micro-batch whose slices go forward one after the other, and
// their gradients; see kernels::attention_slice_forward. Each is defined from its first use on, kv
// until the backward of slice 0, dkv (f32) from the backward of the last slice until then.
struct SliceCache {
  Tensor kv;
  Tensor dkv;
};

enum class Mode { train, evaluate, generate };

// What a segment sees of the run while it works on one micro-batch.
struct SegmentContext {
  Stream& stream;
  const MicroBatch& batch;
  Mode mode = Mode::train;
  // False for the first micro-batch of a step: parameter gradients are set, not added to.
  bool accumulate_input = false;   // for gradients made in backward_input (norms)
  bool accumulate_weight = false;  // for gradients made in backward_weight, or the head's forward
  bool keeps_input = false;        // forward, in training: recompute() will make the rest of saved
  // backward_input: false where nothing before this segment is trained, so that what it makes its
  // input's gradient of may be left out; the gradient is undefined then.
  bool needs_input_gradient = true;
  // backward_weight: for the second time in this step, see WeightPass::again. The head, whose
  // gradients are made in forward, makes its weight's then alone.
  bool again = false;
  std::vector<LayerCache>* caches = nullptr;  // generate: of each row one per layer of the stage
  std::vector<SliceCache>* slices = nullptr;  // of a slice: one per layer of the stage
  // Results of the head.
  double loss_sum = 0.0;           // unscaled, over valid tokens
  std::vector<double> row_losses;  // evaluate: the same of each row
  Tensor logits_tv;  // generate: f32 [rows, vocabulary], last position; the first shard alone

  SegmentContext(Stream& on, const MicroBatch& of) : stream(on), batch(of) {}
};

// What one segment keeps of one micro-batch between forward and backward. Slots are named by an
// enum inside each segment.
struct Saved {
  std::vector<Tensor> slots;
  bool complete = false;  // false after a forward that keeps only its input, to be recomputed
};

class Segment {
 public:
  virtual ~Segment() = default;
  // hidden in: the stream before this segment; out: after it. Fills saved in Mode::train.
  virtual Steps forward(SegmentContext& context, Saved& saved, Hidden& hidden) = 0;
  // Makes saved complete where forward kept its input alone: runs forward's inside again. Without
  // it backward_input does the same.
  virtual void recompute(SegmentContext&, Saved&) {}
  // gradient in: of the stream after this segment; out: of the stream before it.
  // Keeps in saved what backward_weight needs. Runs forward's inside again when not complete.
  virtual Steps backward_input(SegmentContext& context, Saved& saved, Tensor& gradient_td) = 0;
  // Sets or adds this segment's weight gradients and drops saved.
  virtual void backward_weight(SegmentContext& context, Saved& saved) = 0;
};

}  // namespace collie
