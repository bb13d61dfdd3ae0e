// How updates store the bf16 copy of the new values: past the caches where it is large. A store
// through the caches reads the line before it overwrites it, which is a seventh of what SGD moves.
// Like kernels/simd.hpp, which it includes, compiled once per target.
#include <hwy/cache_control.h>

#include "kernels/simd.hpp"

#if defined(COLLIE_KERNELS_FLAT_STORES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef COLLIE_KERNELS_FLAT_STORES_INL
#undef COLLIE_KERNELS_FLAT_STORES_INL
#else
#define COLLIE_KERNELS_FLAT_STORES_INL
#endif

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

// count elements, `lanes` or fewer, at copy + index. With past_caches whole vectors must begin at
// multiples of their size (cpu::stores_past_caches), and finish_copy() ends a task's stores.
HWY_INLINE void store_copy(FloatVec values, BFloat16* copy, bool past_caches, std::int64_t index,
                           std::int64_t count) {
  if (past_caches && count == lanes) {
    hn::Stream(to_bf16(values), HalfTag(), reinterpret_cast<std::uint16_t*>(copy + index));
  } else {
    store_n(values, copy + index, count);
  }
}
// Other threads read the copy after this task.
HWY_INLINE void finish_copy(bool past_caches) {
  if (past_caches) hwy::FlushStream();
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target toggle
