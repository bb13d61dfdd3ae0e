// The CPU side of attention.hpp. Operands are checked.
#pragma once

#include <algorithm>

#include "kernels/attention.hpp"

namespace collie::kernels {

inline constexpr std::int64_t attention_block = 64;  // queries and keys of a block

// Rows of f32 blocks are whole vectors on every target.
constexpr std::int64_t padded_head_dim(std::int64_t head_dim) {
  return (head_dim + 15) / 16 * 16;
}

// Queries, keys and values of all rows and heads: an element of row b, token s, head h (g) is at
// b * batch_stride + s * token_stride + h (g) * head_dim. Query s has index query_offset + s among
// the keys.
template <class T>
struct AttentionForwardJob {
  const T* queries;
  const T* keys;
  const T* values;
  std::int64_t query_batch_stride, query_stride;
  std::int64_t key_batch_stride, key_stride;
  std::int64_t batch, query_count, query_offset;
  HeadShape heads;
  float scale;
  std::int64_t window;
  const std::int32_t* positions;  // [batch, query_count], or null: one document
  T* context;                     // [batch * query_count, H * K]
  float* lse;                     // [batch, H, query_count], or null
};

struct AttentionBackwardJob {
  const Tensor* dcontext;
  const Tensor* qkv;
  const Tensor* context;
  const Tensor* lse;
  const Tensor* positions_t;
  Tensor* dqkv;
  AttentionShape shape;
  // Of a slice, whose first query has index query_offset among the keys; null: whole rows, whose
  // keys and values are in qkv.
  const Tensor* kv = nullptr;
  Tensor* dkv = nullptr;
  std::int64_t query_offset = 0;
  std::int64_t chunks = 1;    // pieces of one key/value head's blocks of queries
  float* partials = nullptr;  // gradients [B * G * chunks, 2, key_count(), ld] when chunks > 1

  std::int64_t head_dim() const { return shape.heads.head_dim; }
  std::int64_t key_count() const { return query_offset + shape.sequence; }
  std::int64_t kv_width() const { return 2 * shape.heads.kv_heads * head_dim(); }
  std::int64_t kv_sequence() const { return kv->dim(0) / shape.batch; }
  // Keys of one head of a row; its values lie kv_heads * head_dim behind them.
  template <class T>
  const T* keys(std::int64_t row, std::int64_t group) const {
    if (kv != nullptr) {
      return kv->data<T>() + row * kv_sequence() * kv_width() + group * head_dim();
    }
    return qkv->data<T>() + row * shape.sequence * shape.heads.packed_width() +
           (shape.heads.heads + group) * head_dim();
  }
  std::int64_t key_stride() const {
    return kv != nullptr ? kv_width() : shape.heads.packed_width();
  }
  // Of queries.
  std::int64_t blocks() const { return (shape.sequence + attention_block - 1) / attention_block; }
  // Unit u is block u % blocks() of the group's head u / blocks().
  std::int64_t units() const { return blocks() * (shape.heads.heads / shape.heads.kv_heads); }
  // The first unit of a chunk: equal shares of the causal work, from the shape alone.
  std::int64_t chunk_begin(std::int64_t chunk) const {
    const std::int64_t earlier = query_offset / attention_block;  // keys that every query sees
    const std::int64_t total = units() * (blocks() + 1) / 2 + units() * earlier;
    std::int64_t unit = 0;
    for (std::int64_t work = 0; unit < units() && work * chunks < chunk * total; ++unit) {
      work += unit % blocks() + 1 + earlier;
    }
    return unit;
  }
};

inline constexpr std::int64_t decode_piece_keys = 512;  // keys of one task

struct AttentionDecodeJob {
  const Tensor* qkv;
  const Tensor* cache;
  Tensor* context;
  AttentionShape shape;
  std::int64_t length;        // tokens in the cache before the new ones
  std::int64_t pieces = 1;    // of the cache, each decode_piece_keys long
  float* partials = nullptr;  // [n, G, pieces, H / G, partial_size()]

  std::int64_t partial_size() const { return shape.heads.head_dim + 2; }
  std::int64_t first_key(std::int64_t token) const {
    if (shape.window <= 0) return 0;
    return std::max<std::int64_t>(0, length + token + 1 - shape.window);
  }
};

namespace cpu {

void attention_forward(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                       const Tensor& positions_t, Tensor& context, Tensor& lse);
void attention_slice_forward(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                             std::int64_t begin, const Tensor& positions_t, Tensor& kv,
                             Tensor& context, Tensor& lse);
void attention_backward(Stream& stream, AttentionBackwardJob job);  // chunks are not set yet
// The same for bf16 on a processor with bf16 dot products; elsewhere false, and nothing is done.
bool attention_forward_dots(Stream& stream, const AttentionForwardJob<BFloat16>& job);
bool attention_backward_dots(Stream& stream, const AttentionBackwardJob& job);
void append_to_cache(const Tensor& qkv, const HeadShape& heads, Tensor& cache, std::int64_t length);
// Many new tokens at once: blocks as in training. Few: one pass over the cache a token.
void attention_prefill(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                       const Tensor& cache, std::int64_t length, Tensor& context);
void attention_decode(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                      const Tensor& cache, std::int64_t length, Tensor& context);

}  // namespace cpu
}  // namespace collie::kernels
