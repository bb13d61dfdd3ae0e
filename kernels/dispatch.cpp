#include "kernels/dispatch.hpp"

namespace collie::kernels {

void require_compute(const Tensor& tensor, const char* name) {
  COLLIE_CHECK(tensor.defined() && is_compute_dtype(tensor.dtype()), "{} must be F32 or BF16",
               name);
}

void require_dtype(const Tensor& tensor, DType dtype, const char* name) {
  COLLIE_CHECK(tensor.defined() && tensor.dtype() == dtype, "{} must be {}", name,
               to_string(dtype));
}

void require_shape(const Tensor& tensor, const Shape& shape, const char* name) {
  COLLIE_CHECK(tensor.defined() && tensor.shape() == shape, "{} must be {}, not {}", name,
               to_string(shape), tensor.defined() ? to_string(tensor.shape()) : "undefined");
}

void require_same(const Tensor& a, const Tensor& b, const char* names) {
  COLLIE_CHECK(a.defined() && b.defined() && a.shape() == b.shape() && a.dtype() == b.dtype(),
               "{} must have one shape and one dtype", names);
}

}  // namespace collie::kernels
