#define BOOST_TEST_MODULE cross_entropy
#include "kernels/cross_entropy.hpp"

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <limits>

#include "kernel_test.hpp"

namespace collie::kernels {
namespace {

using namespace collie::testing;

struct Outcome {
  Values losses;
  Values gradient;  // [C, V] of the whole vocabulary
};

// The definition, in double, on the logits as the dtype holds them.
Outcome reference(const Values& logits, const Values& labels, std::size_t vocabulary,
                  double scale) {
  Outcome outcome;
  for (std::size_t c = 0; c < labels.size(); ++c) {
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(c * vocabulary);
    const auto row_end = row + static_cast<std::ptrdiff_t>(vocabulary);
    const double max = *std::max_element(row, row_end);
    double sum = 0.0;
    for (auto it = row; it != row_end; ++it) sum += std::exp(*it - max);
    const bool ignored = labels[c] < 0;
    const auto label = ignored ? 0 : static_cast<std::ptrdiff_t>(labels[c]);
    outcome.losses.push_back(ignored ? 0.0 : max + std::log(sum) - row[label]);
    for (std::ptrdiff_t v = 0; v < row_end - row; ++v) {
      const double softmax = std::exp(row[v] - max) / sum;
      outcome.gradient.push_back(ignored ? 0.0 : (softmax - (v == label)) * scale);
    }
  }
  return outcome;
}

// Columns [begin, end) of logits [C, V].
Values columns(const Values& logits, std::size_t vocabulary, std::size_t begin, std::size_t end) {
  Values part;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (i % vocabulary >= begin && i % vocabulary < end) part.push_back(logits[i]);
  }
  return part;
}

struct Shards {
  std::vector<Tensor> logits;
  std::vector<std::size_t> begins;
  std::vector<Tensor> stats;
  Tensor combined;
};

// The vocabulary in `count` uneven parts, their statistics and the combination.
Shards split(Stream& stream, DType dtype, const Values& values, const Tensor& labels,
             std::size_t vocabulary, std::size_t count) {
  Shards shards;
  const std::int64_t tokens = labels.element_count();
  for (std::size_t s = 0; s < count; ++s) {
    const std::size_t begin = vocabulary * s * (s + 1) / (count * (count + 1));
    const std::size_t end = vocabulary * (s + 1) * (s + 2) / (count * (count + 1));
    shards.begins.push_back(begin);
    shards.logits.push_back(make_tensor(stream, dtype,
                                        {tokens, static_cast<std::int64_t>(end - begin)},
                                        columns(values, vocabulary, begin, end)));
    shards.stats.push_back(stream.allocate(DType::f32, {tokens, 3}));
    cross_entropy_stats(stream, shards.logits.back(), labels, static_cast<std::int64_t>(begin),
                        shards.stats.back());
  }
  shards.combined = stream.allocate(DType::f32, {tokens, 3});
  cross_entropy_combine(stream, shards.stats, shards.combined);
  return shards;
}

double rounding(DType dtype) {
  return dtype == DType::bf16 ? 0x1p-8 : 0x1p-24;
}

void expect_reference(DType dtype, const Values& raw_logits, const Values& labels,
                      std::size_t vocabulary, std::size_t shard_count, double scale) {
  on_stream(2, [&](Stream& stream) {
    const auto tokens = static_cast<std::int64_t>(labels.size());
    const Tensor whole =
        make_tensor(stream, dtype, {tokens, static_cast<std::int64_t>(vocabulary)}, raw_logits);
    const Values logits = to_values(whole);
    const Outcome expected = reference(logits, labels, vocabulary, scale);
    const Tensor labels_c = make_tensor(stream, DType::i32, {tokens}, labels);
    Shards shards = split(stream, dtype, logits, labels_c, vocabulary, shard_count);
    for (std::size_t s = 0; s < shard_count; ++s) {
      Tensor losses = stream.allocate(DType::f32, {tokens});
      cross_entropy_backward(stream, shards.logits[s], labels_c,
                             static_cast<std::int64_t>(shards.begins[s]), shards.combined,
                             static_cast<float>(scale), losses);
      const Values got_losses = to_values(losses);
      const Values got = to_values(shards.logits[s]);
      const Values want =
          columns(expected.gradient, vocabulary, shards.begins[s],
                  shards.begins[s] + static_cast<std::size_t>(shards.logits[s].dim(1)));
      double worst_loss = 0.0;
      for (std::size_t c = 0; c < labels.size(); ++c) {
        // The sum of exponentials is a float32; max and label are exact.
        const double bound = 1e-6 * std::max(1.0, expected.losses[c]);
        worst_loss = std::max(worst_loss, std::abs(got_losses[c] - expected.losses[c]) / bound);
      }
      double worst = 0.0;
      for (std::size_t i = 0; i < want.size(); ++i) {
        const double bound = 2e-6 * std::abs(want[i]) + 1e-7 * std::abs(scale) * 0x1p-10 +
                             1.01 * rounding(dtype) * std::abs(want[i]) +
                             std::numeric_limits<float>::min();
        worst = std::max(worst, std::abs(got[i] - want[i]) / bound);
      }
      BOOST_TEST(worst_loss < 1.0);
      BOOST_TEST(worst < 1.0);
    }
  });
}

Values some_labels(std::size_t tokens, std::size_t vocabulary) {
  Values labels;
  for (std::size_t c = 0; c < tokens; ++c) {
    labels.push_back(c % 5 == 3 ? -100.0 : static_cast<double>((c * 7919) % vocabulary));
  }
  return labels;
}

BOOST_AUTO_TEST_CASE(loss_and_gradient_match_double) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const std::size_t shard_count : {1U, 2U, 3U}) {
      for (const std::size_t vocabulary : {7U, 61U, 1000U, 5003U}) {
        const std::size_t tokens = 23;
        BOOST_TEST_CONTEXT(to_string(dtype) << " V " << vocabulary << " shards " << shard_count)
        expect_reference(dtype,
                         random_values(static_cast<std::int64_t>(tokens * vocabulary), 1, 3.0),
                         some_labels(tokens, vocabulary), vocabulary, shard_count, 0.37);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(extreme_logits) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const std::size_t shard_count : {1U, 2U, 3U}) {
      const std::size_t vocabulary = 60;
      Values logits = random_values(5 * 60, 2, 1.0);
      for (std::size_t i = 0; i < logits.size(); ++i) {
        const std::size_t token = i / vocabulary;
        if (token == 0) logits[i] += 1e4;                     // all huge
        if (token == 1) logits[i] -= 1e4;                     // all hugely negative
        if (token == 2) logits[i] *= 1e4;                     // one wins by thousands
        if (token == 3 && i % 3 == 0) logits[i] = -INFINITY;  // masked
      }
      BOOST_TEST_CONTEXT(to_string(dtype) << " shards " << shard_count)
      expect_reference(dtype, logits, {0, 59, 17, 1, 30}, vocabulary, shard_count, 1.0);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_shard_of_masked_logits_counts_for_nothing) {
  Values logits = random_values(60, 3, 1.0);
  std::fill(logits.begin(), logits.begin() + 20, -INFINITY);  // the whole first of two shards
  expect_reference(DType::f32, logits, {30}, 60, 2, 1.0);
}

BOOST_AUTO_TEST_CASE(a_nan_reaches_the_loss) {
  for (const double poison : {std::nan(""), static_cast<double>(INFINITY)}) {
    for (const std::size_t place : {0U, 15U, 16U, 59U}) {
      on_stream(1, [&](Stream& stream) {
        Values logits = random_values(60, 4, 1.0);
        logits[place] = poison;
        const Tensor labels = make_tensor(stream, DType::i32, {1}, {5});
        const Shards shards = split(stream, DType::f32, logits, labels, 60, 2);
        Tensor losses = stream.allocate(DType::f32, {1});
        cross_entropy_losses(stream, labels, shards.combined, losses);
        BOOST_TEST(std::isnan(to_values(losses)[0]));
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(losses_alone_are_the_same) {
  on_stream(1, [](Stream& stream) {
    const Tensor labels = make_tensor(stream, DType::i32, {9}, some_labels(9, 50));
    Shards shards = split(stream, DType::f32, random_values(9 * 50, 5), labels, 50, 1);
    Tensor alone = stream.allocate(DType::f32, {9});
    Tensor with_gradient = stream.allocate(DType::f32, {9});
    cross_entropy_losses(stream, labels, shards.combined, alone);
    cross_entropy_backward(stream, shards.logits[0], labels, 0, shards.combined, 1.0F,
                           with_gradient);
    BOOST_TEST(same_bytes(alone, with_gradient));
  });
}

BOOST_AUTO_TEST_CASE(the_number_of_threads_changes_no_bit) {
  const auto run = [](int threads) {
    Shards shards;
    on_stream(threads, [&](Stream& stream) {
      const Tensor labels = make_tensor(stream, DType::i32, {101}, some_labels(101, 3001));
      shards = split(stream, DType::bf16, random_values(101 * 3001, 6), labels, 3001, 2);
      Tensor losses = stream.allocate(DType::f32, {101});
      cross_entropy_backward(stream, shards.logits[0], labels, 0, shards.combined, 1.0F, losses);
    });
    return shards;
  };
  const Shards one = run(1);
  for (const int threads : {2, 3}) {
    const Shards more = run(threads);
    BOOST_TEST(same_bytes(one.combined, more.combined));
    BOOST_TEST(same_bytes(one.logits[0], more.logits[0]));
  }
}

}  // namespace
}  // namespace collie::kernels
