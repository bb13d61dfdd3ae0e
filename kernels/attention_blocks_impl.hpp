// Internal: what forward and backward attention share, compiled once per SIMD target.
//
// A block is 64 queries by up to 64 keys, and scores are kept transposed: row = key, column =
// query. Then statistics of a query are vertical sums, keys and values are used as they lie, and
// only the queries (and the upstream gradient) are transposed, once for all their key blocks.
#if defined(COLLIE_KERNELS_ATTENTION_BLOCKS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef COLLIE_KERNELS_ATTENTION_BLOCKS_INL
#undef COLLIE_KERNELS_ATTENTION_BLOCKS_INL
#else
#define COLLIE_KERNELS_ATTENTION_BLOCKS_INL
#endif

#include <cmath>
#include <limits>

#include "kernels/attention_impl.hpp"
#include "kernels/attention_tile_impl.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

inline constexpr std::int64_t block_size = attention_block;
inline constexpr std::int64_t half_block = block_size / 2;
inline constexpr float log2_e = 1.44269504088896340736F;
inline constexpr float ln_2 = 0.69314718055994530942F;

// Cuts one lane's scratch into arrays that start on cache lines.
class ScratchCutter {
 public:
  explicit ScratchCutter(std::byte* base) : next_(base) {}
  template <class T = float>
  T* take(std::int64_t count) {
    T* const taken = reinterpret_cast<T*>(next_);
    next_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return taken;
  }

 private:
  std::byte* next_;
};

// The keys that each query of a block sees: first_key[q] .. last_key[q].
struct Visible {
  std::int32_t* first_key;
  std::int32_t* last_key;
  std::int64_t key_begin = 0;  // first key any of them sees
  std::int64_t key_end = 0;    // one past the last
  std::int64_t all_begin = 0;  // keys [all_begin, all_end) are seen by all of them
  std::int64_t all_end = 0;

  bool needs_mask(std::int64_t begin, std::int64_t end) const {
    return begin < all_begin || end > all_end;
  }
};

// `count` queries of one row, the first with index `query` among the keys and position
// positions[0]; positions may be null (one document). Columns past `count` are given the visibility
// of the last query, so that they stay finite.
HWY_INLINE void find_visible(const std::int32_t* positions, std::int64_t window, std::int64_t query,
                             std::int64_t count, Visible& visible) {
  visible.key_begin = query + count;
  visible.all_begin = 0;
  for (std::int64_t q = 0; q < block_size; ++q) {
    const std::int64_t at = std::min(q, count - 1);
    const std::int64_t index = query + at;
    std::int64_t first = positions == nullptr ? 0 : index - positions[at];
    if (window > 0) first = std::max(first, index - window + 1);
    first = std::clamp<std::int64_t>(first, 0, index);
    visible.first_key[q] = static_cast<std::int32_t>(first);
    visible.last_key[q] = static_cast<std::int32_t>(index);
    visible.key_begin = std::min(visible.key_begin, first);
    visible.all_begin = std::max(visible.all_begin, first);
  }
  visible.key_end = query + count;
  visible.all_end = query + 1;
}

// On the diagonal block, keys of the lower half are never seen by queries of the first half: that
// quarter is left out of every product.
HWY_INLINE void multiply_scores(const float* keys, std::int64_t ld, const float* queries_t,
                                std::int64_t head_dim, std::int64_t key_count, bool diagonal,
                                float* scores_t) {
  Product product{keys,       ld,        queries_t,  block_size, scores_t,
                  block_size, key_count, block_size, head_dim,   false};
  if (diagonal && key_count > half_block) {
    product.m = half_block;
    multiply<false>(product);
    product.a += half_block * ld;
    product.b += half_block;
    product.c += half_block * block_size + half_block;
    product.m = key_count - half_block;
    product.n = half_block;
  }
  multiply<false>(product);
}

// out_t[K, queries] += values^T[K, keys] weights_t[keys, queries]
HWY_INLINE void multiply_values(const float* values, std::int64_t ld, const float* weights_t,
                                std::int64_t head_dim, std::int64_t key_count, bool diagonal,
                                bool accumulate, float* out_t) {
  Product product{values,     ld,       weights_t,  block_size, out_t,
                  block_size, head_dim, block_size, key_count,  accumulate};
  if (diagonal && key_count > half_block) {
    product.n = half_block;
    product.k = half_block;
    multiply<true>(product);
    product.b += half_block;
    product.c += half_block;
    product.k = key_count;
  }
  multiply<true>(product);
}

HWY_INLINE FloatVec masked_score(const Visible& visible, std::int64_t q, FloatVec key,
                                 FloatVec score) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  const auto index = hn::BitCast(di, key);
  const auto first = hn::LoadU(di, visible.first_key + q);
  const auto last = hn::LoadU(di, visible.last_key + q);
  const auto hidden = hn::Or(hn::Gt(first, index), hn::Gt(index, last));
  return hn::IfThenElse(hn::RebindMask(d, hidden), splat(-std::numeric_limits<float>::infinity()),
                        score);
}

// Hidden scores become -infinity; what the trimmed product left undefined is hidden too.
inline HWY_NOINLINE void mask_scores(const Visible& visible, std::int64_t key_begin,
                                     std::int64_t key_count, float* scores_t) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  for (std::int64_t k = 0; k < key_count; ++k) {
    const auto key = hn::BitCast(d, hn::Set(di, static_cast<std::int32_t>(key_begin + k)));
    float* const row = scores_t + k * block_size;
    for (std::int64_t q = 0; q < block_size; q += lanes) {
      store(masked_score(visible, q, key, load(row + q)), row + q);
    }
  }
}

// The rows [count, ld] of one block's queries, divided by their sums of weights, and log-sum-exps.
template <class Job>
void store_context(const Job& job, std::int64_t row, std::int64_t head, std::int64_t query,
                   std::int64_t count, const float* rows, std::int64_t ld, const float* total,
                   const float* maximum) {
  const std::int64_t head_dim = job.heads.head_dim;
  const std::int64_t width = job.heads.heads * head_dim;
  auto* const context = job.context + (row * job.query_count + query) * width + head * head_dim;
  for (std::int64_t q = 0; q < count; ++q) {
    unpack_row(rows + q * ld, context + q * width, head_dim, splat(1.0F / total[q]));
  }
  if (job.lse == nullptr) return;
  float* const lse = job.lse + (row * job.heads.heads + head) * job.query_count + query;
  for (std::int64_t q = 0; q < count; ++q) lse[q] = ln_2 * (maximum[q] + std::log2(total[q]));
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target toggle
