#include "models/optimizers/factored.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/elementwise.hpp"
#include "kernels/factored.hpp"
#include "models/host_copy.hpp"
#include "models/optimizers/rounded_values.hpp"
#include "models/optimizers/shard_cut.hpp"

namespace collie {

namespace {

constexpr double parameter_scale_min = 1e-3;

double scalar(Stream& stream, const Tensor& tensor) {
  float value = 1.0F;  // where planning has no memory
  copy_to_host(stream, tensor, &value);
  return double{value};
}

// One update under way.
struct Update {
  Stream& stream;
  FactoredRule rule;
  OptimizerStep step;
  FactoredParameter parameter;
  bool is_matrix, by_columns;
  kernels::FactoredGradient gradient;
  double keep;
  // What shards add up: sums over the axis that is cut, then the sum of row moments and the sum of
  // the parameter's squares. The other axis' sums are complete in each shard.
  Tensor packed, local;

  Update(Stream& on, const FactoredRule& by, const OptimizerStep& at, const FactoredParameter& of)
      : stream(on),
        rule(by),
        step(at),
        parameter(of),
        is_matrix(of.row_moments.defined()),
        by_columns(is_matrix && is_cut_by_columns(of.spec)),
        gradient{at.gradient_scale, by.clip_value},
        keep(1.0 - std::pow(static_cast<double>(at.step), -by.decay_rate)) {
    const std::int64_t rows = of.value.dim(0), cols = of.value.dim(1);
    const std::int64_t added = !is_matrix ? 0 : by_columns ? rows : cols;
    packed = stream.allocate(DType::f32, {added + 2});
    local = stream.allocate(DType::f32, {is_matrix && !by_columns ? rows : cols});
  }

  Tensor packed_sums() const { return packed.rows(0, packed.dim(0) - 2); }
  Tensor row_total() const { return packed.rows(packed.dim(0) - 2, packed.dim(0) - 1); }
  Tensor param_squares() const { return packed.rows(packed.dim(0) - 1, packed.dim(0)); }
  double element_count() const {
    return static_cast<double>(parameter.spec.rows) * static_cast<double>(parameter.spec.cols);
  }

  void add_up_here();
  void finish_moments();
  Tensor measure();
  void apply(const ParameterRule& own, const Tensor& update_squares);

 private:
  void apply_rounded(const kernels::FactoredStep& how);
  void moments(const Tensor& sums, std::int64_t count, Tensor moments, Tensor total) {
    kernels::factored_moments(stream, keep, static_cast<double>(count), rule.epsilon, sums, moments,
                              total);
  }
  Tensor row_factors_, col_factors_;
};

void Update::add_up_here() {
  Tensor none, sums = packed_sums(), total = row_total(), squares = param_squares();
  Tensor& row_sums = !is_matrix ? none : by_columns ? sums : local;
  Tensor& col_sums = is_matrix && !by_columns ? sums : local;
  const bool is_narrow = parameter.value.dtype() != DType::f32;
  const Tensor& measured = is_narrow ? parameter.gradient : parameter.value;
  kernels::factored_sums(stream, gradient, parameter.gradient, measured, row_sums, col_sums,
                         squares);
  if (is_narrow) {
    const auto sum = static_cast<float>(squares_of_rounded(stream, parameter.value));
    copy_from_host(stream, &sum, squares);
  }
  kernels::fill_zero(stream, total);
  if (is_matrix && !by_columns) {
    moments(row_sums, parameter.spec.cols, parameter.row_moments, total);
  }
  // Of shards that hold the same part, one counts it.
  if (is_cut(parameter.spec) && !parameter.spec.owned) kernels::fill_zero(stream, packed);
}

void Update::finish_moments() {
  const std::int64_t rows = is_matrix ? parameter.spec.rows : 1;
  Tensor unused = stream.allocate(DType::f32, {1});
  Tensor total = by_columns ? stream.allocate(DType::f32, {1}) : row_total();
  if (by_columns) moments(packed_sums(), parameter.spec.cols, parameter.row_moments, total);
  moments(is_matrix && !by_columns ? packed_sums() : local, rows, parameter.col_moments, unused);
  col_factors_ = stream.allocate(DType::f32, parameter.col_moments.shape());
  kernels::factored_factors(stream, 1.0, parameter.col_moments, col_factors_);
  if (!is_matrix) return;
  row_factors_ = stream.allocate(DType::f32, parameter.row_moments.shape());
  const double mean = scalar(stream, total) / static_cast<double>(rows);
  kernels::factored_factors(stream, mean, parameter.row_moments, row_factors_);
}

// The sum of the update's squares, of this shard.
Tensor Update::measure() {
  Tensor squares = stream.allocate(DType::f32, {1});
  kernels::factored_squares(stream, gradient, parameter.gradient, row_factors_, col_factors_,
                            squares);
  if (is_cut(parameter.spec) && !parameter.spec.owned) kernels::fill_zero(stream, squares);
  return squares;
}

void Update::apply(const ParameterRule& own, const Tensor& update_squares) {
  const double rms = std::sqrt(scalar(stream, update_squares) / element_count());
  double rate = step.learning_rate;
  if (rule.scale_parameter) {
    const double size = std::sqrt(scalar(stream, param_squares()) / element_count());
    rate *= std::max(parameter_scale_min, size);
  }
  const kernels::FactoredStep how{.gradient = gradient,
                                  .rate = rate / std::max(1.0, rms / rule.clip_threshold),
                                  .shrink = 1.0 - rate * own.weight_decay,
                                  .beta1 = own.beta1};
  if (parameter.value.dtype() != DType::f32) return apply_rounded(how);
  kernels::factored_step(stream, how, parameter.gradient, row_factors_, col_factors_,
                         parameter.exp_avg, parameter.value, parameter.copy);
}

// A vector's blocks are elements of its one row.
void Update::apply_rounded(const kernels::FactoredStep& how) {
  update_rounded(stream, rule.rounding, step, parameter.spec, parameter.value,
                 [&](RowBlock rows, Tensor& values) {
                   const auto of_rows = [&](const Tensor& whole) {
                     return whole && is_matrix ? whole.rows(rows.begin, rows.end) : whole;
                   };
                   const auto of_elements = [&](const Tensor& whole) {
                     if (!whole || is_matrix) return of_rows(whole);
                     const std::int64_t count = rows.end - rows.begin;
                     return whole.reshaped({whole.element_count()})
                         .rows(rows.begin, rows.end)
                         .reshaped({1, count});
                   };
                   Tensor target = is_matrix ? values : values.reshaped({1, rows.end - rows.begin});
                   Tensor average = of_elements(parameter.exp_avg), no_copy;
                   const Tensor columns =
                       is_matrix ? col_factors_ : col_factors_.rows(rows.begin, rows.end);
                   kernels::factored_step(stream, how, of_elements(parameter.gradient),
                                          of_rows(row_factors_), columns, average, target, no_copy);
                 });
}

Tensor as_matrix(const Tensor& tensor, const ParameterSpec& spec) {
  return spec.is_vector ? tensor.reshaped({1, spec.local_rows()})
                        : tensor.reshaped({spec.local_rows(), spec.local_cols()});
}

}  // namespace

Steps factored_update(Stream& stream, FactoredRule rule, OptimizerStep step, ParameterRule own,
                      FactoredParameter parameter) {
  Update update(stream, rule, step, parameter);
  const bool pauses = is_cut(parameter.spec);
  update.add_up_here();
  if (pauses) co_yield sum_over_shards(update.packed);
  update.finish_moments();
  Tensor squares = update.measure();
  if (pauses) co_yield sum_over_shards(squares);
  update.apply(own, squares);
}

FactoredOptimizer::FactoredOptimizer(const OptimizerSetup& setup, const FactoredRule& rule)
    : rule_(rule), element_parts_(element_parts(setup.parameters, setup.ranges)) {
  std::int64_t rows = 0, cols = 0, vectors = 0;
  for (const UpdateParameter& update : update_parameters(setup)) {
    const ParameterSpec& spec = setup.parameters.specs()[static_cast<std::size_t>(update.index)];
    entries_.push_back({update, rows, spec.is_vector ? vectors : cols});
    const std::int64_t r = spec.local_rows(), c = spec.local_cols();
    if (spec.is_vector) {
      vector_parts_.push_back({update.index, StateAxis::elements, 0, r, vectors});
      vectors += r;
      continue;
    }
    row_parts_.push_back({update.index, StateAxis::rows, 0, r, rows});
    col_parts_.push_back({update.index, StateAxis::columns, 0, c, cols});
    rows += r;
    cols += c;
  }
  rows_ = allocate_zeros(setup.allocator, DType::f32, {rows});
  cols_ = allocate_zeros(setup.allocator, DType::f32, {cols});
  vectors_ = allocate_zeros(setup.allocator, DType::f32, {vectors});
  // The same on all stages, whichever parameters they have.
  const bool has_average =
      *setup.options.beta1 > 0.0 ||
      std::ranges::any_of(setup.options.groups, [](const ParameterGroup& group) {
        return group.beta1.value_or(0.0) > 0.0;
      });
  if (!has_average) return;
  exp_avg_ =
      allocate_zeros(setup.allocator, setup.options.state_dtype, {element_count(setup.ranges)});
}

FactoredParameter FactoredOptimizer::view(Parameters& parameters, const Entry& entry) const {
  const int index = entry.update.index;
  const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
  const std::int64_t count = spec.local_count();
  const std::int64_t begin = parameters.offset(index);
  const Tensor copy = compute_copy(parameters, begin, begin + count);
  const Tensor& columns = spec.is_vector ? vectors_ : cols_;
  const std::int64_t col_count = spec.is_vector ? spec.local_rows() : spec.local_cols();
  FactoredParameter parameter{
      .spec = spec,
      .value = as_matrix(parameters.value(index), spec),
      .gradient = as_matrix(parameters.gradient(index), spec),
      .copy = copy ? as_matrix(copy, spec) : Tensor(),
      .row_moments = {},
      .col_moments = columns.rows(entry.col_begin, entry.col_begin + col_count),
      .exp_avg = {}};
  if (!spec.is_vector) {
    parameter.row_moments = rows_.rows(entry.row_begin, entry.row_begin + spec.local_rows());
  }
  if (exp_avg_) {
    const std::int64_t first = entry.update.state_begin;
    parameter.exp_avg = as_matrix(exp_avg_.rows(first, first + count), spec);
  }
  return parameter;
}

Steps FactoredOptimizer::step(Stream& stream, OptimizerStep step, Parameters& parameters) {
  for (const Entry& entry : entries_) {
    Steps update = step_entry(stream, step, parameters, entry);
    while (update.advance()) co_yield update.reduction();
  }
}

Steps FactoredOptimizer::step_one(Stream& stream, OptimizerStep step, Parameters& parameters,
                                  int parameter) {
  const auto entry = std::ranges::find(
      entries_, parameter, [](const Entry& candidate) { return candidate.update.index; });
  COLLIE_CHECK(entry != entries_.end(), "parameter {} is not updated here", parameter);
  return step_entry(stream, step, parameters, *entry);
}

Steps FactoredOptimizer::step_entry(Stream& stream, OptimizerStep step, Parameters& parameters,
                                    const Entry& entry) const {
  step.learning_rate = learning_rate(step) * entry.update.rule.lr_scale;
  return factored_update(stream, rule_, step, entry.update.rule, view(parameters, entry));
}

std::vector<OptimizerState> FactoredOptimizer::state() {
  std::vector<OptimizerState> found = {{"exp_avg_sq_row", &rows_, row_parts_},
                                       {"exp_avg_sq_col", &cols_, col_parts_},
                                       {"exp_avg_sq", &vectors_, vector_parts_}};
  if (exp_avg_) found.push_back({"exp_avg", &exp_avg_, element_parts_});
  return found;
}

}  // namespace collie
