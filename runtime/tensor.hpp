// A tensor is a shape and an element type over a shared buffer: always row-major and contiguous.
// Copying a Tensor shares the buffer. Once sent to another actor it is frozen and read-only.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "runtime/allocator.hpp"
#include "runtime/dtype.hpp"
#include "runtime/limits.hpp"

namespace collie {

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  std::int64_t operator[](int axis) const { return dims_[static_cast<std::size_t>(axis)]; }
  // Checked against overflow when the shape was made.
  std::int64_t element_count() const { return element_count_; }
  std::span<const std::int64_t> dims() const {
    return {dims_.data(), static_cast<std::size_t>(rank_)};
  }
  bool operator==(const Shape& other) const = default;

 private:
  std::array<std::int64_t, limits::tensor_rank_max> dims_{};
  int rank_ = 0;
  std::int64_t element_count_ = 1;
};

std::string to_string(const Shape& shape);

// For shapes from outside: negative dimensions, too many of them and overflow are errors.
Result<Shape> checked_shape(std::span<const std::int64_t> dims, DType dtype);

class Tensor {
 public:
  Tensor() = default;
  Tensor(BufferRef buffer, DType dtype, Shape shape, std::size_t offset_bytes = 0);

  bool defined() const { return static_cast<bool>(buffer_); }
  explicit operator bool() const { return defined(); }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t dim(int axis) const { return shape_[axis]; }
  std::int64_t element_count() const { return shape_.element_count(); }
  std::size_t size_bytes() const {
    return static_cast<std::size_t>(element_count()) * size_of(dtype_);
  }

  // Read access, always allowed.
  template <class T>
  const T* data() const {
    require(DTypeOf<T>::value);
    return reinterpret_cast<const T*>(raw());
  }
  // Write access: a programmer's error on a frozen tensor.
  template <class T>
  T* mutable_data() {
    require(DTypeOf<T>::value);
    return reinterpret_cast<T*>(mutable_raw());
  }
  const std::byte* raw() const { return buffer_->data() + offset_bytes_; }
  std::byte* mutable_raw() {
    COLLIE_CHECK(!buffer_->frozen(), "write to a tensor that was sent");
    return buffer_->data() + offset_bytes_;
  }

  // Rows [begin, end) of the first axis, sharing the buffer.
  Tensor rows(std::int64_t begin, std::int64_t end) const;
  Tensor reshaped(Shape shape) const;  // same element count, same buffer

  void freeze() { buffer_->freeze(); }
  bool frozen() const { return buffer_->frozen(); }
  bool shares_buffer_with(const Tensor& other) const {
    return buffer_.get() == other.buffer_.get();
  }
  void reset() { *this = Tensor(); }

 private:
  void require(DType dtype) const {
    COLLIE_CHECK(defined() && dtype == dtype_, "tensor is {}, not {}",
                 defined() ? to_string(dtype_) : "undefined", to_string(dtype));
  }
  BufferRef buffer_;
  DType dtype_ = DType::f32;
  Shape shape_;
  std::size_t offset_bytes_ = 0;
};

Tensor allocate_tensor(Allocator& allocator, DType dtype, const Shape& shape);

}  // namespace collie
