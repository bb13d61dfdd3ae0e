// What both halves of a layer do around their own work: norm, a packed product cut by its output,
// the half's inner work, a product cut by its input, and what is done to the branch before it is
// added to the stream (dropout, Houlsby's bottleneck).
#pragma once

#include <string>
#include <vector>

#include "models/decoder.hpp"
#include "models/linear.hpp"
#include "models/peft/bottleneck.hpp"
#include "models/residual_dropout.hpp"

namespace collie {

class ResidualHalf : public Segment {
 public:
  Steps forward(SegmentContext& context, Saved& saved, Hidden& hidden) override;
  void recompute(SegmentContext& context, Saved& saved) override;
  Steps backward_input(SegmentContext& context, Saved& saved, Tensor& gradient_td) override;
  void backward_weight(SegmentContext& context, Saved& saved) override;

 protected:
  enum Slot : std::size_t {
    slot_squares,  // DoRA's, of the last product; it and the next two: kept where all is recomputed
    slot_delta,    // what went into the bottleneck
    slot_h,
    slot_rstd,
    slot_mean,
    slot_n,
    slot_packed,  // what the first product made; then its gradient
    slot_inner,   // what the second product reads
    slot_dy,
    slot_own  // and after it: the half's own
  };

  // Parameters are named prefix + "norm", first, second. With recompute_from or more recomputation
  // only the half's input is kept.
  ResidualHalf(const ShardModel& model, const std::string& prefix, Linear first, Linear second,
               Recompute recompute_from, std::size_t slot_count);

  // slot_packed -> slot_inner, and slots of its own.
  virtual void inner(SegmentContext& context, std::vector<Tensor>& slots) = 0;
  // slot_packed turns from values into their gradient, which is all backward_weight needs.
  virtual void backward_inner(SegmentContext& context, std::vector<Tensor>& slots,
                              const Tensor& dinner) = 0;
  // Whether backward_inner() reads slot_inner.
  virtual bool reads_inner() const = 0;

  const ShardModel& model() const { return model_; }

 private:
  std::vector<Tensor> inside(SegmentContext& context, const Hidden& hidden);
  void keep(SegmentContext& context, Saved& saved, std::vector<Tensor> slots) const;
  Tensor backward_inside(SegmentContext& context, std::vector<Tensor>& slots);

  ShardModel model_;
  Norm norm_;
  Linear first_, second_;
  Bottleneck bottleneck_;
  ResidualDropout dropout_;
  Recompute recompute_from_;
  std::size_t slot_count_;
};

}  // namespace collie
