#define BOOST_TEST_MODULE tensor
#include "runtime/tensor.hpp"

#include <vector>

#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;
using collie::test::check_error;

namespace {

Result<Shape> checked(const std::vector<std::int64_t>& dims, DType dtype = DType::f32) {
  return checked_shape(dims, dtype);
}

}  // namespace

BOOST_AUTO_TEST_CASE(shapes_count_elements) {
  const Shape shape{2, 3, 4};
  BOOST_TEST(shape.rank() == 3);
  BOOST_TEST(shape.element_count() == 24);
  BOOST_TEST(shape[1] == 3);
  BOOST_TEST(to_string(shape) == "[2, 3, 4]");
  BOOST_TEST(Shape{}.element_count() == 1);
  BOOST_TEST((Shape{0, 5}).element_count() == 0);
  BOOST_CHECK((Shape{2, 3}) != (Shape{3, 2}));
  BOOST_CHECK((Shape{2}) != (Shape{2, 1}));
}

BOOST_AUTO_TEST_CASE(foreign_shapes_are_checked) {
  BOOST_TEST(checked({2, 0})->element_count() == 0);
  BOOST_CHECK(checked({1, 2, 3, 4}).ok());
  const auto invalid = ErrorCode::invalid_data;
  check_error(checked({1, 1, 1, 1, 1}), invalid, "[1, 1, 1, 1, 1] has more than 4 dimensions");
  check_error(checked({2, -1}), invalid, "shape [2, -1] has a negative dimension");
  check_error(checked({1LL << 62, 4}), invalid, "is larger than");
  check_error(checked({0, 1LL << 62, 4}), invalid, "is larger than");
  check_error(checked({limits::tensor_bytes_max / 4 + 1}), invalid, "is larger than");
  BOOST_CHECK(checked({limits::tensor_bytes_max / 4}).ok());
  check_error(checked({limits::tensor_bytes_max / 4}, DType::f64), invalid, "is larger than");
}

BOOST_AUTO_TEST_CASE(copies_share_and_rows_are_views) {
  Allocator allocator("test");
  Tensor tensor = allocate_tensor(allocator, DType::f32, {3, 2});
  for (int i = 0; i < 6; ++i) tensor.mutable_data<float>()[i] = static_cast<float>(i);
  const Tensor copy = tensor;
  Tensor row = tensor.rows(1, 3);
  BOOST_CHECK(copy.shares_buffer_with(row));
  BOOST_CHECK(row.shape() == (Shape{2, 2}));
  BOOST_TEST(row.data<float>()[0] == 2.0F);
  row.mutable_data<float>()[0] = 9.0F;
  BOOST_TEST(copy.data<float>()[2] == 9.0F);
  BOOST_TEST(row.rows(1, 2).data<float>()[1] == 5.0F);
  BOOST_TEST(tensor.rows(3, 3).element_count() == 0);
  BOOST_TEST(tensor.reshaped({6}).dim(0) == 6);
  BOOST_TEST(tensor.size_bytes() == 24u);
}

BOOST_AUTO_TEST_CASE(freezing_is_for_all_who_share) {
  Allocator allocator("test");
  Tensor tensor = allocate_tensor(allocator, DType::bf16, {4});
  const Tensor copy = tensor;
  BOOST_CHECK(!copy.frozen());
  tensor.freeze();
  BOOST_CHECK(copy.frozen());
  BOOST_CHECK(tensor.rows(0, 1).frozen());
  tensor.reset();
  BOOST_CHECK(!tensor.defined() && copy.defined());
}
