// Internal: the gradients of keys and values that tasks of a backward pass add up, compiled once
// per SIMD target.
#if defined(COLLIE_KERNELS_ATTENTION_GRADIENTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef COLLIE_KERNELS_ATTENTION_GRADIENTS_INL
#undef COLLIE_KERNELS_ATTENTION_GRADIENTS_INL
#else
#define COLLIE_KERNELS_ATTENTION_GRADIENTS_INL
#endif

#include "kernels/attention_blocks_impl.hpp"
#include "kernels/dispatch.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

template <class T>
HWY_INLINE T* key_gradients(const AttentionBackwardJob& job, std::int64_t row, std::int64_t group) {
  const HeadShape& heads = job.shape.heads;
  return job.dqkv->mutable_data<T>() + row * job.shape.sequence * heads.packed_width() +
         (heads.heads + group) * heads.head_dim;
}

template <class T>
void store_key_gradients(const AttentionBackwardJob& job, std::int64_t row, std::int64_t group,
                         const float* dkeys, const float* dvalues) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t ld = padded_head_dim(heads.head_dim);
  T* const to_keys = key_gradients<T>(job, row, group);
  T* const to_values = to_keys + heads.kv_heads * heads.head_dim;
  for (std::int64_t k = 0; k < job.shape.sequence; ++k) {
    unpack_row(dkeys + k * ld, to_keys + k * heads.packed_width(), heads.head_dim,
               splat(job.shape.scale));
    unpack_row(dvalues + k * ld, to_values + k * heads.packed_width(), heads.head_dim, splat(1.0F));
  }
}

// Sums the chunks of one key/value head in their order, for keys [begin, end).
template <class T>
void sum_chunks(const AttentionBackwardJob& job, std::int64_t row_group, std::int64_t begin,
                std::int64_t end) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t ld = padded_head_dim(heads.head_dim);
  const std::int64_t size = job.shape.sequence * ld;
  float* const first = job.partials + row_group * job.chunks * 2 * size;
  for (std::int64_t chunk = 1; chunk < job.chunks; ++chunk) {
    for (float* part : {first, first + size}) {
      for (std::int64_t i = begin * ld; i < end * ld; i += lanes) {
        store(hn::Add(load(part + i), load(part + chunk * 2 * size + i)), part + i);
      }
    }
  }
  T* dkeys = key_gradients<T>(job, row_group / heads.kv_heads, row_group % heads.kv_heads);
  T* dvalues = dkeys + heads.kv_heads * heads.head_dim;
  for (std::int64_t k = begin; k < end; ++k) {
    unpack_row(first + k * ld, dkeys + k * heads.packed_width(), heads.head_dim,
               splat(job.shape.scale));
    unpack_row(first + size + k * ld, dvalues + k * heads.packed_width(), heads.head_dim,
               splat(1.0F));
  }
}

// chunk(index, lane) does chunk index % job.chunks of a row and key/value head.
template <class T, class Chunk>
void run_backward(Stream& stream, const AttentionBackwardJob& job, const Chunk& chunk) {
  const std::int64_t row_groups = job.shape.batch * job.shape.heads.kv_heads;
  stream.parallel_for(row_groups * job.chunks, chunk);
  if (job.partials == nullptr) return;
  const std::int64_t blocks = ceil_div(job.shape.sequence, block_size);
  stream.parallel_for(row_groups * blocks, [&](std::int64_t index, int) {
    const std::int64_t begin = index % blocks * block_size;
    sum_chunks<T>(job, index / blocks, begin, std::min(job.shape.sequence, begin + block_size));
  });
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target toggle
