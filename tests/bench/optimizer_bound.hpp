// The memory-bandwidth bound of updates, from passes that do next to nothing.
#pragma once

#include <immintrin.h>

#include <algorithm>

#include "peaks.hpp"

namespace collie::bench {

namespace detail {

inline __attribute__((target("avx512f"))) void scale_avx512(float* a, std::int64_t count) {
  const __m512 factor = _mm512_set1_ps(0.5F);
  for (std::int64_t i = 0; i < count; i += 16) {
    _mm512_store_ps(a + i, _mm512_mul_ps(_mm512_load_ps(a + i), factor));
  }
}

inline void scale_sse(float* a, std::int64_t count) {
  const __m128 factor = _mm_set1_ps(0.5F);
  for (std::int64_t i = 0; i < count; i += 4) {
    _mm_store_ps(a + i, _mm_mul_ps(_mm_load_ps(a + i), factor));
  }
}

inline __attribute__((target("avx512f"))) float read_avx512(const float* a, std::int64_t count) {
  __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                    _mm512_setzero_ps()};
  for (std::int64_t i = 0; i < count; i += 64) {
    for (int k = 0; k < 4; ++k) sums[k] = _mm512_add_ps(sums[k], _mm512_load_ps(a + i + 16 * k));
  }
  const __m512 all = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), sums[2]);
  return _mm512_cvtss_f32(_mm512_add_ps(all, sums[3]));
}

inline float read_sse(const float* a, std::int64_t count) {
  __m128 sums[4] = {_mm_setzero_ps(), _mm_setzero_ps(), _mm_setzero_ps(), _mm_setzero_ps()};
  for (std::int64_t i = 0; i < count; i += 16) {
    for (int k = 0; k < 4; ++k) sums[k] = _mm_add_ps(sums[k], _mm_load_ps(a + i + 4 * k));
  }
  return _mm_cvtss_f32(_mm_add_ps(_mm_add_ps(sums[0], sums[1]), _mm_add_ps(sums[2], sums[3])));
}

inline __attribute__((target("avx512f"))) void sum_avx512(const float* a, const float* b, float* to,
                                                          std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 16) {
    _mm512_stream_ps(to + i, _mm512_add_ps(_mm512_load_ps(a + i), _mm512_load_ps(b + i)));
  }
  _mm_sfence();
}

inline void sum_sse(const float* a, const float* b, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 4) {
    _mm_stream_ps(to + i, _mm_add_ps(_mm_load_ps(a + i), _mm_load_ps(b + i)));
  }
  _mm_sfence();
}

}  // namespace detail

// What memory grants at most, bytes a second.
struct Bandwidth {
  double reading;  // reading alone; processors often have ways of their own to read and to write
  double both;     // reading and writing together

  double seconds_for(double read_bytes, double written_bytes) const {
    return std::max(read_bytes / reading, (read_bytes + written_bytes) / both);
  }
};

// From the sum of a, a = a / 2 in place, and c = a + b with stores past the caches: none moves a
// byte that it does not count, and each bound is the best that one of them reached.
class BandwidthBound {
 public:
  BandwidthBound(Stream& stream, std::int64_t count) : count_(count / tile * tile) {
    for (Tensor& tensor : data_) {
      tensor = stream.allocate(DType::f32, {count_});
      float* data = tensor.mutable_data<float>();
      stream.parallel_for(count_ / tile, [&](std::int64_t index, int) {
        std::fill_n(data + index * tile, tile, 1.0F);
      });
    }
  }

  Bandwidth measure(Stream& stream) {
    const bool is_wide = __builtin_cpu_supports("avx512f");
    float* a = data_[0].mutable_data<float>();
    const float* b = data_[1].data<float>();
    float* c = data_[2].mutable_data<float>();
    volatile float sink = 0.0F;
    const double start = seconds_now();
    stream.parallel_for(count_ / tile, [&](std::int64_t index, int) {
      sink = (is_wide ? detail::read_avx512 : detail::read_sse)(a + index * tile, tile);
    });
    const double begin = seconds_now();
    stream.parallel_for(count_ / tile, [&](std::int64_t index, int) {
      (is_wide ? detail::scale_avx512 : detail::scale_sse)(a + index * tile, tile);
    });
    const double middle = seconds_now();
    stream.parallel_for(count_ / tile, [&](std::int64_t index, int) {
      const std::int64_t at = index * tile;
      (is_wide ? detail::sum_avx512 : detail::sum_sse)(a + at, b + at, c + at, tile);
    });
    const double end = seconds_now();
    const auto bytes = static_cast<double>(count_) * sizeof(float);
    const double reading = bytes / (begin - start), scaling = 2.0 * bytes / (middle - begin),
                 adding = 3.0 * bytes / (end - middle);
    return {std::max({reading, scaling / 2.0, adding * 2.0 / 3.0}),
            std::max({reading, scaling, adding})};
  }

 private:
  static constexpr std::int64_t tile = 64 * 1024;

  std::int64_t count_;
  Tensor data_[3];
};

// Flop/s of float32 fused multiply-adds on all lanes, once.
inline double fma_rate_once(Stream& stream) {
  const bool is_wide = __builtin_cpu_supports("avx512f");
  volatile float sink = 0.0F;
  const double begin = seconds_now();
  stream.parallel_for(stream.threads(), [&](std::int64_t, int) {
    sink = is_wide ? detail::fma_avx512() : detail::fma_avx2();
  });
  const double flops =
      static_cast<double>(detail::iterations) * (is_wide ? detail::chains * 32 : 12 * 16);
  return stream.threads() * flops / (seconds_now() - begin);
}

}  // namespace collie::bench
