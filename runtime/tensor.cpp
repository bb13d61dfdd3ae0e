#include "runtime/tensor.hpp"

#include <fmt/ranges.h>

namespace collie {

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  COLLIE_CHECK(dims.size() <= dims_.size(), "rank {} is over the limit", dims.size());
  for (std::size_t axis = 0; axis < dims.size(); ++axis) {
    COLLIE_CHECK(dims[axis] >= 0, "negative dimension {}", dims[axis]);
    dims_[axis] = dims[axis];
    const bool overflow = __builtin_mul_overflow(element_count_, dims[axis], &element_count_);
    COLLIE_CHECK(!overflow, "shape overflows");
  }
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.dims(), ", "));
}

Result<Shape> checked_shape(std::span<const std::int64_t> dims, DType dtype) {
  if (dims.size() > static_cast<std::size_t>(limits::tensor_rank_max)) {
    return make_error(ErrorCode::invalid_data, "shape [{}] has more than {} dimensions",
                      fmt::join(dims, ", "), limits::tensor_rank_max);
  }
  std::int64_t bytes = static_cast<std::int64_t>(size_of(dtype));
  bool overflow = false;
  bool empty = false;
  for (const std::int64_t dim : dims) {
    if (dim < 0) {
      return make_error(ErrorCode::invalid_data, "shape [{}] has a negative dimension",
                        fmt::join(dims, ", "));
    }
    empty = empty || dim == 0;
    overflow = overflow || __builtin_mul_overflow(bytes, dim == 0 ? 1 : dim, &bytes);
  }
  if (overflow || (!empty && bytes > limits::tensor_bytes_max)) {
    return make_error(ErrorCode::invalid_data, "shape [{}] is larger than {} bytes",
                      fmt::join(dims, ", "), limits::tensor_bytes_max);
  }
  return Shape(dims);
}

Tensor::Tensor(BufferRef buffer, DType dtype, Shape shape, std::size_t offset_bytes)
    : buffer_(std::move(buffer)), dtype_(dtype), shape_(shape), offset_bytes_(offset_bytes) {
  COLLIE_CHECK(offset_bytes_ + size_bytes() <= buffer_->size_bytes(),
               "tensor {} of {} does not fit its buffer", to_string(shape_), to_string(dtype_));
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  COLLIE_CHECK(0 <= begin && begin <= end && end <= dim(0), "rows {}..{} of {}", begin, end,
               to_string(shape_));
  std::array<std::int64_t, limits::tensor_rank_max> dims{};
  std::int64_t row_elements = 1;
  for (int axis = 0; axis < shape_.rank(); ++axis) {
    dims[static_cast<std::size_t>(axis)] = shape_[axis];
    if (axis > 0) row_elements *= shape_[axis];
  }
  dims[0] = end - begin;
  const auto skipped = static_cast<std::size_t>(begin * row_elements) * size_of(dtype_);
  const std::span<const std::int64_t> used(dims.data(), static_cast<std::size_t>(shape_.rank()));
  return Tensor(buffer_, dtype_, Shape(used), offset_bytes_ + skipped);
}

Tensor Tensor::reshaped(Shape shape) const {
  COLLIE_CHECK(shape.element_count() == element_count(), "reshape {} to {}", to_string(shape_),
               to_string(shape));
  return Tensor(buffer_, dtype_, shape, offset_bytes_);
}

Tensor allocate_tensor(Allocator& allocator, DType dtype, const Shape& shape) {
  const auto size_bytes = static_cast<std::size_t>(shape.element_count()) * size_of(dtype);
  return Tensor(allocator.allocate(size_bytes), dtype, shape);
}

}  // namespace collie
