#include "models/peft/magnitudes.hpp"

#include <utility>

#include "kernels/column_scale.hpp"
#include "kernels/elementwise.hpp"
#include "models/families/family.hpp"
#include "models/registry.hpp"

namespace collie {

namespace {

// Rows of a weight with all their columns, as the base model has them.
Result<Tensor> whole_rows(const TensorDirectory* base, std::uint64_t seed,
                          const ModelTraits& traits, ParameterSpec spec, Stream& stream) {
  spec.col_begin = 0;
  spec.col_end = spec.cols;
  spec.joined = false;
  const std::string name = spec.hf.tensor;
  Parameters alone(stream.allocator(), {std::move(spec)}, DType::f32, false);
  if (base == nullptr) {
    alone.initialize(stream, seed);
    return alone.value(0);
  }
  const std::string_view prefix = family_of(traits).base_prefix;
  const LocatedTensor* located = base->find(name);
  if (located == nullptr && name.starts_with(prefix)) {
    located = base->find(name.substr(prefix.size()));
  }
  if (located == nullptr || located->entry->shape != file_shape(alone.specs()[0])) {
    return make_error(ErrorCode::invalid_file,
                      "{}: is missing in the base model or has another "
                      "shape: use the model that was loaded",
                      name);
  }
  read_parameter(*located, alone.specs()[0], alone.value(0));
  return alone.value(0);
}

}  // namespace

Status initialize_magnitudes(const TensorDirectory* base, std::uint64_t seed,
                             const ModelTraits& traits, Parameters& parameters, Stream& stream) {
  constexpr std::string_view ending = ".magnitude";
  for (int index = 0; index < parameters.count(); ++index) {
    const std::string& name = parameters.specs()[static_cast<std::size_t>(index)].name;
    if (!name.ends_with(ending) || !parameters.holds_value(index)) continue;
    const int weight = parameters.find(name.substr(0, name.size() - ending.size()));
    COLLIE_CHECK(weight >= 0, "{} without a weight", name);
    COLLIE_TRY(const Tensor rows,
               whole_rows(base, seed, traits, parameters.specs()[static_cast<std::size_t>(weight)],
                          stream));
    Tensor squares = stream.allocate(DType::f32, {rows.dim(0)});
    kernels::row_squares(stream, rows, Tensor(), Tensor(), {}, squares);
    Tensor inverse = stream.allocate(DType::f32, squares.shape());
    kernels::inverse_roots(stream, squares, inverse);
    Tensor norms = stream.allocate(DType::f32, squares.shape());
    kernels::place_factors(stream, squares, 0, inverse, norms);
    Tensor value = parameters.value(index);
    kernels::cast(stream, norms, value);
  }
  parameters.refresh_compute(stream);
  return ok_status();
}

}  // namespace collie
