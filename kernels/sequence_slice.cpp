#include "kernels/sequence_slice.hpp"

#include <cstring>

#include "kernels/dispatch.hpp"

namespace collie::kernels {

void take_slice(Stream& stream, const Tensor& whole_t, std::int64_t batch, std::int64_t begin,
                Tensor& slice_t) {
  require_dtype(slice_t, whole_t.dtype(), "slice");
  COLLIE_CHECK(batch > 0 && whole_t.dim(0) % batch == 0 && slice_t.dim(0) % batch == 0,
               "{} and {} tokens of {} rows", whole_t.dim(0), slice_t.dim(0), batch);
  const std::int64_t whole = whole_t.dim(0) / batch;
  const std::int64_t count = slice_t.dim(0) / batch;
  COLLIE_CHECK(begin >= 0 && begin + count <= whole, "{} tokens from {} on of rows of {}", count,
               begin, whole);
  by_device(stream, [&] {
    const std::size_t element = size_of(whole_t.dtype());
    const std::size_t bytes = static_cast<std::size_t>(count) * element;
    const std::byte* from = whole_t.raw() + static_cast<std::size_t>(begin) * element;
    std::byte* to = slice_t.mutable_raw();
    for (std::int64_t row = 0; row < batch; ++row) {
      std::memcpy(to, from, bytes);
      from += static_cast<std::size_t>(whole) * element;
      to += bytes;
    }
  });
}

}  // namespace collie::kernels
