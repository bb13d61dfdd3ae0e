// Trained factors on the columns of what goes into one linear layer, or comes out of it:
// (IA)3's (Liu et al., "Few-shot parameter-efficient fine-tuning is better and cheaper than
// in-context learning", 2022, section 3.3), and DoRA's magnitudes over the norms of the rows of
// W + scale * B A (Liu et al., "DoRA: Weight-decomposed low-rank adaptation", 2024, equation 5; the
// norms are constants in the backward, section 4.3).
// Legend: K input features, M output features of the whole layer.
#pragma once

#include <vector>

#include "models/decoder.hpp"

namespace collie {

class LinearScales {
 public:
  // One weight's factors of its output.
  struct Part {
    int values = -1, weight = -1;
    std::int64_t column = 0;  // of the layer's output
  };

  // weights: the layer's, consecutive in parameters.
  LinearScales(const ShardModel& model, int first_weight, int count);

  bool on_input() const { return input_ >= 0; }
  bool on_output() const { return !parts_.empty(); }
  bool over_norms() const { return over_norms_; }  // DoRA
  int input() const { return input_; }             // the parameter
  const std::vector<Part>& parts() const { return parts_; }

  // f32, ones where there is no factor. inverse: 1 / norm of each row, undefined for (IA)3.
  Tensor input_factors(SegmentContext& context) const;
  Tensor output_factors(SegmentContext& context, const Tensor& inverse_m) const;

 private:
  const Parameters& parameters_;
  int input_ = -1;
  std::vector<Part> parts_;
  bool over_norms_ = false;
  std::int64_t columns_ = 0;
};

}  // namespace collie
