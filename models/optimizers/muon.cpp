// Muon (Jordan et al. 2024) for the matrices inside layers; AdamW for embeddings, heads and
// vectors. Each matrix of ours is one: query, key and value apart, gate and up apart. With
// MuonScale::adamw updates are as large as AdamW's (Liu et al. 2025, Muon is Scalable for LLM
// Training).
#include "kernels/muon.hpp"

#include <algorithm>
#include <cmath>

#include "models/host_copy.hpp"
#include "models/optimizers/rules.hpp"
#include "models/optimizers/shard_cut.hpp"

namespace collie {

namespace {

bool is_hidden_matrix(const ParameterSpec& spec) {
  return !spec.is_vector && spec.rows > 1 && spec.cols > 1 && spec.name.starts_with("layers.");
}

struct Division {
  std::vector<StoreRange> matrices, rest;
};

void append(std::vector<StoreRange>& ranges, const StoreRange& range) {
  if (!ranges.empty() && ranges.back().end == range.begin) {
    ranges.back().end = range.end;
  } else {
    ranges.push_back(range);
  }
}

Division divide(const OptimizerSetup& setup) {
  Division division;
  const Parameters& parameters = setup.parameters;
  for (const UpdateParameter& update : update_parameters(setup)) {
    const StoreRange all{parameters.offset(update.index),
                         parameters.offset(update.index) + parameters.padded_count(update.index)};
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(update.index)];
    append(is_hidden_matrix(spec) ? division.matrices : division.rest, all);
  }
  return division;
}

double scale_of(MuonScale scale, const ParameterSpec& spec) {
  const auto rows = static_cast<double>(spec.rows), cols = static_cast<double>(spec.cols);
  if (scale == MuonScale::adamw) return 0.2 * std::sqrt(std::max(rows, cols));
  return std::sqrt(std::max(1.0, rows / cols));
}

// Shards' parts, in rank order, side by side or one below the other.
Tensor assembled(Stream& stream, const ParameterSpec& spec, const std::vector<Tensor>& parts) {
  Tensor whole = stream.allocate(DType::f32, {spec.rows, spec.cols});
  std::int64_t row = 0, col = 0;
  for (std::size_t i = 0; i < parts.size(); i += holders_of_a_part(spec)) {
    const kernels::BlockCopy block{
        .rows = parts[i].dim(0), .cols = parts[i].dim(1), .to_row = row, .to_col = col};
    kernels::copy_block(stream, block, parts[i], whole);
    (is_cut_by_rows(spec) ? row : col) += is_cut_by_rows(spec) ? block.rows : block.cols;
  }
  return whole;
}

Tensor own_part(Stream& stream, const ParameterSpec& spec, const Tensor& whole) {
  if (!is_cut_by_columns(spec)) return whole.rows(spec.row_begin, spec.row_end);
  Tensor part = stream.allocate(DType::f32, {spec.local_rows(), spec.local_cols()});
  kernels::copy_block(
      stream, {.rows = spec.local_rows(), .cols = spec.local_cols(), .from_col = spec.col_begin},
      whole, part);
  return part;
}

class Muon final : public Optimizer {
 public:
  Muon(const OptimizerSetup& setup, Division division)
      : options_(setup.options),
        matrices_(update_parameters(
            {setup.options, setup.parameters, setup.allocator, division.matrices})),
        parts_(element_parts(setup.parameters, division.matrices)),
        velocity_(allocate_zeros(setup.allocator, setup.options.state_dtype,
                                 {element_count(division.matrices)})),
        rest_(make_adamw(
            {setup.options, setup.parameters, setup.allocator, std::move(division.rest)})) {}

  bool is_elementwise() const override { return false; }

  Steps step(Stream& stream, OptimizerStep step, Parameters& parameters) override {
    for (const UpdateParameter& matrix : matrices_) {
      const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(matrix.index)];
      Tensor update = moved_velocity(stream, step, parameters, matrix);
      if (is_cut(spec)) {
        std::vector<Tensor> parts;
        co_yield gather_over_shards(update, parts);
        update = assembled(stream, spec, parts);
      }
      kernels::orthogonalize(stream, static_cast<int>(options_.newton_schulz_steps), update);
      apply(stream, step, parameters, matrix, own_part(stream, spec, update));
    }
    Steps rest = rest_->step(stream, step, parameters);
    while (rest.advance()) co_yield rest.reduction();
  }

  std::vector<OptimizerState> state() override {
    std::vector<OptimizerState> found = {{"momentum_buffer", &velocity_, parts_}};
    std::ranges::copy(rest_->state(), std::back_inserter(found));
    return found;
  }

 private:
  Tensor moved_velocity(Stream& stream, const OptimizerStep& step, Parameters& parameters,
                        const UpdateParameter& matrix) const {
    const Tensor gradient = parameters.gradient(matrix.index);
    const std::int64_t end = matrix.state_begin + gradient.element_count();
    Tensor velocity = velocity_.rows(matrix.state_begin, end).reshaped(gradient.shape());
    Tensor update = stream.allocate(DType::f32, gradient.shape());
    kernels::muon_momentum(stream,
                           {.momentum = *options_.momentum,
                            .nesterov = *options_.nesterov,
                            .gradient_scale = step.gradient_scale},
                           gradient, velocity, update);
    return update;
  }

  void apply(Stream& stream, const OptimizerStep& step, Parameters& parameters,
             const UpdateParameter& matrix, const Tensor& update) const {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(matrix.index)];
    const double rate = step.learning_rate * matrix.rule.lr_scale;
    const std::int64_t begin = parameters.offset(matrix.index);
    Tensor value = parameters.value(matrix.index);
    Tensor copy = compute_copy(parameters, begin, begin + value.element_count());
    if (copy) copy = copy.reshaped(value.shape());
    kernels::muon_step(stream, rate * scale_of(options_.muon_scale, spec),
                       1.0 - rate * matrix.rule.weight_decay, update, value, copy);
  }

  OptimizerOptions options_;
  std::vector<UpdateParameter> matrices_;
  std::vector<StatePart> parts_;
  Tensor velocity_;
  std::unique_ptr<Optimizer> rest_;
};

}  // namespace

std::unique_ptr<Optimizer> make_muon(const OptimizerSetup& setup) {
  return std::make_unique<Muon>(setup, divide(setup));
}

}  // namespace collie
