// One pass over a row of logits that keeps the best.
#include <algorithm>
#include <limits>

#include "kernels/dispatch.hpp"
#include "kernels/label_sample_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/label_sample_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

constexpr int noise_calls = 16;
constexpr std::int64_t noise_words = 4 * noise_calls;

// Words of Philox by index in the vocabulary, from that of call `first` on; a vector more may be
// read than there is.
struct NoiseBlock {
  alignas(64) std::uint32_t words[noise_words + lanes];
};

void run_noise(std::uint32_t first, const cpu::LabelNoise& noise, NoiseBlock& block) {
  std::uint32_t words[4][noise_calls];
  for (int c = 0; c < noise_calls; ++c) {
    words[0][c] = first + static_cast<std::uint32_t>(c);
    words[1][c] = static_cast<std::uint32_t>(noise.token);
    words[2][c] = static_cast<std::uint32_t>(noise.token >> 32);
    words[3][c] = noise.step;
  }
  philox_4x32_10_block(noise.key, words);
  for (int c = 0; c < noise_calls; ++c) {
    for (int word = 0; word < 4; ++word) block.words[4 * c + word] = words[word][c];
  }
}

// u is fine where it is small, which is where the greatest noise comes from.
HWY_INLINE FloatVec gumbel(const std::uint32_t* words) {
  const hn::RebindToUnsigned<FloatTag> d32;
  const hn::RebindToSigned<FloatTag> di;
  const auto bits = hn::BitCast(di, hn::ShiftRight<1>(hn::LoadU(d32, words)));
  const FloatVec whole = hn::Add(hn::ConvertTo(FloatTag(), bits), splat(0.5F));
  const FloatVec u = hn::Min(hn::Mul(whole, splat(0x1p-31F)), splat(1.0F - 0x1p-24F));
  const FloatVec exponential = hn::Neg(hn::Log1p(FloatTag(), hn::Neg(u)));
  return hn::Neg(hn::Log(FloatTag(), exponential));
}

template <class T>
HWY_FLATTEN cpu::SampledLabel sample_row(const T* row, std::int64_t width,
                                         std::int64_t vocabulary_begin,
                                         const cpu::LabelNoise& noise) {
  constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
  cpu::SampledLabel best{minus_infinity, static_cast<float>(vocabulary_begin)};
  NoiseBlock block = {};
  alignas(64) float scores[noise_words + lanes];
  for (std::int64_t v = 0; v < width;) {
    const std::int64_t index = vocabulary_begin + v, skipped = index % 4;
    run_noise(static_cast<std::uint32_t>(index / 4), noise, block);
    const std::int64_t count = std::min(width - v, noise_words - skipped);
    for_vectors(0, count, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
      store(hn::Add(load_n(row + v + i, n), gumbel(block.words + skipped + i)), scores + i);
    });
    for (std::int64_t i = 0; i < count; ++i) {
      if (scores[i] > best.score) best = {scores[i], static_cast<float>(index + i)};
    }
    v += count;
  }
  return best;
}

}  // namespace

cpu::SampledLabel sample_one(const Tensor& logits_cv, std::int64_t token,
                             std::int64_t vocabulary_begin, const cpu::LabelNoise& noise) {
  const std::int64_t width = logits_cv.dim(1);
  if (logits_cv.dtype() == DType::f32) {
    return sample_row(logits_cv.data<float>() + token * width, width, vocabulary_begin, noise);
  }
  return sample_row(logits_cv.data<BFloat16>() + token * width, width, vocabulary_begin, noise);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(sample_one);

namespace cpu {

namespace {

// Tells these draws from those of masks and initial values, which have the run's seed too.
constexpr std::uint64_t label_sample_domain = 0x6c6162656c736d70U;  // "labelsmp"

LabelNoise noise_of(const LabelSamplePlace& place, std::int64_t token) {
  const std::uint64_t seed = place.seed ^ label_sample_domain;
  const std::int64_t at = place.token_begin + token;
  const std::int64_t row = place.first_row + at / place.row_tokens;
  return {.key = {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
          .token = static_cast<std::uint64_t>(row * place.row_stride + place.row_begin +
                                              at % place.row_tokens),
          .step = static_cast<std::uint32_t>(place.step)};
}

}  // namespace

void sample_labels(Stream& stream, const Tensor& logits_cv, const Tensor& labels_c,
                   std::int64_t vocabulary_begin, const LabelSamplePlace& place, Tensor& best_c2) {
  const std::int32_t* labels = labels_c.data<std::int32_t>();
  auto* best = reinterpret_cast<SampledLabel*>(best_c2.mutable_data<float>());
  const std::int64_t rows = std::max<std::int64_t>(1, flat_tile / 4 / logits_cv.dim(1));
  for_tiles(stream, logits_cv.dim(0), rows, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t token = begin; token < end; ++token) {
      best[token] = labels[token] < 0
                        ? SampledLabel{0.0F, 0.0F}
                        : HWY_DYNAMIC_DISPATCH(sample_one)(logits_cv, token, vocabulary_begin,
                                                           noise_of(place, token));
    }
  });
}

void choose_sampled_labels(Stream& stream, std::span<const Tensor> best_c2, const Tensor& labels_c,
                           Tensor& drawn_c) {
  const std::int32_t* labels = labels_c.data<std::int32_t>();
  std::int32_t* drawn = drawn_c.mutable_data<std::int32_t>();
  for_tiles(stream, labels_c.dim(0), 1024, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t token = begin; token < end; ++token) {
      const auto of = [token](const Tensor& part) {
        return reinterpret_cast<const SampledLabel*>(part.data<float>())[token];
      };
      SampledLabel best = of(best_c2.front());
      for (const Tensor& part : best_c2.subspan(1)) {
        if (of(part).score > best.score) best = of(part);
      }
      drawn[token] = labels[token] < 0 ? labels[token] : static_cast<std::int32_t>(best.index);
    }
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
