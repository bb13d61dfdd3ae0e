// The reference that attention is compared with, and the cases.
#pragma once

#include "kernels/attention.hpp"
#include "numeric_check.hpp"

namespace collie::attention_check {

using namespace collie::kernels;
using namespace collie::numeric_check;

// The textbook form, in double: qkv[T, (H + 2G) * K] -> context[T, H * K].
inline Values reference_attention(const Values& qkv, const AttentionShape& shape,
                                  const std::vector<std::int32_t>& positions) {
  const auto [heads, kv_heads, head_dim] = shape.heads;
  const std::int64_t width = shape.heads.packed_width();
  Values context(static_cast<std::size_t>(shape.batch * shape.sequence * heads * head_dim));
  for (std::int64_t token = 0; token < shape.batch * shape.sequence; ++token) {
    const std::int64_t position = positions[static_cast<std::size_t>(token)];
    const std::int64_t seen = shape.window > 0 ? std::min(position, shape.window - 1) : position;
    for (std::int64_t head = 0; head < heads; ++head) {
      const double* const query = &qkv[static_cast<std::size_t>(token * width + head * head_dim)];
      const std::int64_t group = heads + head / (heads / kv_heads);
      double total = 0;
      double* const out = &context[static_cast<std::size_t>((token * heads + head) * head_dim)];
      for (std::int64_t other = token - seen; other <= token; ++other) {
        const double* const key = &qkv[static_cast<std::size_t>(other * width + group * head_dim)];
        double score = 0;
        for (std::int64_t i = 0; i < head_dim; ++i) score += query[i] * key[i];
        const double weight = std::exp(static_cast<double>(shape.scale) * score);
        total += weight;
        for (std::int64_t i = 0; i < head_dim; ++i) {
          out[i] += weight * key[kv_heads * head_dim + i];
        }
      }
      for (std::int64_t i = 0; i < head_dim; ++i) out[i] /= total;
    }
  }
  return context;
}

struct Case {
  std::int64_t batch, sequence, heads, kv_heads, head_dim, window;
  std::vector<std::int64_t> documents;  // lengths within each row; empty: one
};

inline AttentionShape shape_of(const Case& c) {
  return {c.batch,
          c.sequence,
          {c.heads, c.kv_heads, c.head_dim},
          static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.head_dim))),
          c.window};
}

inline std::vector<std::int32_t> positions_of(const Case& c) {
  std::vector<std::int32_t> positions;
  for (std::int64_t row = 0; row < c.batch; ++row) {
    std::size_t document = 0;
    std::int64_t position = 0;
    for (std::int64_t s = 0; s < c.sequence; ++s, ++position) {
      if (document < c.documents.size() && position == c.documents[document]) {
        position = 0;
        ++document;
      }
      positions.push_back(static_cast<std::int32_t>(position));
    }
  }
  return positions;
}

struct Outcome {
  Tensor context, lse, dqkv;
};

inline Outcome run(int threads, DType dtype, const Case& c, const Values& qkv_values,
                   const Values& dcontext_values) {
  Stream stream(inline_stream(threads));
  const AttentionShape shape = shape_of(c);
  const std::int64_t tokens = c.batch * c.sequence;
  const Tensor qkv = tensor_of(stream, dtype, {tokens, shape.heads.packed_width()}, qkv_values);
  const Tensor positions = ids_of(stream, positions_of(c));
  const Tensor dcontext = tensor_of(stream, dtype, {tokens, c.heads * c.head_dim}, dcontext_values);
  Outcome out{unwritten(stream, dtype, {tokens, c.heads * c.head_dim}),
              unwritten(stream, DType::f32, {c.batch, c.heads, c.sequence}),
              unwritten(stream, dtype, qkv.shape())};
  attention_forward(stream, qkv, shape, positions, out.context, out.lse);
  attention_backward(stream, dcontext, qkv, out.context, out.lse, shape, positions, out.dqkv);
  return out;
}

inline const std::vector<Case> cases = {
    {2, 5, 2, 2, 8, 0, {}},
    {1, 1, 1, 1, 8, 0, {}},
    {1, 64, 2, 1, 16, 0, {}},
    {1, 97, 4, 2, 8, 0, {}},
    {2, 150, 3, 3, 6, 0, {}},             // head size without whole vectors
    {1, 130, 8, 1, 10, 0, {}},            // one key/value head for all
    {2, 140, 4, 2, 16, 0, {30, 37, 64}},  // packed documents, ends within and between blocks
    {1, 140, 2, 1, 8, 20, {}},            // window within a block
    {1, 200, 2, 2, 24, 70, {90, 50}},     // window over blocks and documents
    {8, 70, 2, 2, 8, 0, {69}},            // enough heads for one chunk each
    {1, 80, 1, 1, 72, 0, {}},
    {1, 99, 4, 2, 7, 0, {}},            // odd head size: bf16 pairs would straddle two heads
    {1, 161, 2, 1, 34, 0, {}},          // odd rest of a block, pairs past the last whole vector
    {1, 145, 1, 1, 64, 40, {40, 105}},  // blocks that some queries do not see at all
};

}  // namespace collie::attention_check
