// Trained embeddings of the virtual tokens before every document: a table of their own (Lester et
// al., "The power of scale for parameter-efficient prompt tuning", 2021), or what a net of three
// layers makes of it (p-tuning: Liu et al., "GPT understands, too", 2021; the MLP of PEFT's
// PromptEncoder). Legend: T tokens, D hidden, N virtual tokens.
#pragma once

#include <array>
#include <cstdint>

#include "models/decoder.hpp"

namespace collie {

class Prompt {
 public:
  explicit Prompt(const ShardModel& model) : Prompt(model.parameters) {}
  explicit Prompt(Parameters& parameters);

  bool empty() const { return table_ < 0; }
  // [N, D], in the compute dtype.
  Tensor embeddings(Stream& stream) const;
  // Adds them to the tokens at their positions.
  void add_forward(SegmentContext& context, Tensor& out_td) const;
  // Sets or adds the gradients.
  void backward_weight(SegmentContext& context, const Tensor& dout_td) const;

 private:
  struct Layer {
    int weight = -1, bias = -1;
  };
  bool has_net() const { return net_[0].weight >= 0; }
  // What goes into each layer of the net, and at last what comes out.
  std::array<Tensor, 4> run_net(Stream& stream) const;
  void net_backward(SegmentContext& context, const Tensor& dprompt_nd) const;

  Parameters& parameters_;
  int table_;
  std::array<Layer, 3> net_;
};

}  // namespace collie
