#define BOOST_TEST_MODULE label_sample
#include "kernels/label_sample.hpp"

#include <boost/test/unit_test.hpp>
#include <limits>
#include <set>

#include "kernel_test.hpp"
#include "kernels/elementwise_philox.hpp"

namespace collie::kernels {
namespace {

using namespace collie::testing;

Tensor labels_of(Stream& stream, const Values& values) {
  return make_tensor(stream, DType::i32, {static_cast<std::int64_t>(values.size())}, values);
}

// Drawn by shards of the vocabulary that begin at these indices.
std::vector<std::int32_t> draw(Stream& stream, const Tensor& logits_cv, const Tensor& labels_c,
                               const LabelSamplePlace& place,
                               const std::vector<std::int64_t>& begins = {0}) {
  const std::int64_t tokens = logits_cv.dim(0), vocabulary = logits_cv.dim(1);
  const Values all = to_values(logits_cv);
  std::vector<Tensor> best;
  for (std::size_t shard = 0; shard < begins.size(); ++shard) {
    const std::int64_t begin = begins[shard];
    const std::int64_t end = shard + 1 < begins.size() ? begins[shard + 1] : vocabulary;
    Values part;
    for (std::int64_t c = 0; c < tokens; ++c) {
      part.insert(part.end(), all.begin() + c * vocabulary + begin,
                  all.begin() + c * vocabulary + end);
    }
    const Tensor logits = make_tensor(stream, logits_cv.dtype(), {tokens, end - begin}, part);
    best.push_back(stream.allocate(DType::f32, {tokens, 2}));
    sample_labels(stream, logits, labels_c, begin, place, best.back());
  }
  Tensor drawn = stream.allocate(DType::i32, {tokens});
  choose_sampled_labels(stream, best, labels_c, drawn);
  return {drawn.data<std::int32_t>(), drawn.data<std::int32_t>() + tokens};
}

// The same logits for every token.
Tensor repeated(Stream& stream, const Values& row, std::int64_t tokens) {
  Values values;
  for (std::int64_t c = 0; c < tokens; ++c) values.insert(values.end(), row.begin(), row.end());
  return make_tensor(stream, DType::f32, {tokens, static_cast<std::int64_t>(row.size())}, values);
}

Values softmax(const Values& row) {
  double sum = 0.0;
  for (const double value : row) sum += std::exp(value);
  Values shares;
  for (const double value : row) shares.push_back(std::exp(value) / sum);
  return shares;
}

double chi_square(const std::vector<std::int32_t>& drawn, const Values& shares) {
  Values counts(shares.size(), 0.0);
  for (const std::int32_t label : drawn) ++counts[static_cast<std::size_t>(label)];
  double sum = 0.0;
  for (std::size_t v = 0; v < shares.size(); ++v) {
    const double expected = shares[v] * static_cast<double>(drawn.size());
    sum += (counts[v] - expected) * (counts[v] - expected) / expected;
  }
  return sum;
}

}  // namespace

// 200,000 draws of 40 labels, the rarest expected 70 times: the 99.99 % quantile of chi-square with
// 39 degrees of freedom is 82.
BOOST_AUTO_TEST_CASE(frequencies_are_those_of_the_softmax) {
  on_stream(2, [](Stream& stream) {
    constexpr std::int64_t tokens = 200'000;
    const Values row = random_values(40, 3, 1.5);
    const Tensor logits = repeated(stream, row, tokens);
    const Tensor labels = labels_of(stream, Values(tokens, 0.0));
    const Values shares = softmax(row);
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
      const LabelSamplePlace place{.seed = seed, .row_tokens = 1};
      BOOST_TEST(chi_square(draw(stream, logits, labels, place), shares) < 82.0);
    }
    // Over the steps of one run too: one token, another step each time.
    const Tensor one = repeated(stream, row, 1);
    const Tensor label = labels_of(stream, {0.0});
    std::vector<std::int32_t> drawn;
    for (std::int64_t step = 0; step < 20'000; ++step) {
      drawn.push_back(draw(stream, one, label, {.seed = 5, .step = step}).front());
    }
    BOOST_TEST(chi_square(drawn, shares) < 90.0);
  });
}

BOOST_AUTO_TEST_CASE(shards_chunks_threads_and_rows_draw_the_same) {
  on_stream(2, [](Stream& stream) {
    constexpr std::int64_t tokens = 48, vocabulary = 301;
    const Tensor logits = random_tensor(stream, DType::f32, {tokens, vocabulary}, 5, 2.0);
    const Tensor labels = labels_of(stream, Values(tokens, 1.0));
    const LabelSamplePlace place{
        .seed = 7, .step = 3, .first_row = 10, .row_tokens = 12, .row_stride = 12};
    const auto whole = draw(stream, logits, labels, place);
    BOOST_TEST(std::set<std::int32_t>(whole.begin(), whole.end()).size() > 20U);
    BOOST_TEST((draw(stream, logits, labels, place, {0, 150}) == whole));
    BOOST_TEST((draw(stream, logits, labels, place, {0, 1, 66, 67, 203}) == whole));
    LabelSamplePlace later = place;
    later.token_begin = 17;
    const auto tail = draw(stream, logits.rows(17, tokens), labels.rows(17, tokens), later);
    BOOST_TEST(std::equal(tail.begin(), tail.end(), whole.begin() + 17));
    LabelSamplePlace third_row = place;
    third_row.first_row = 12;
    const auto rows = draw(stream, logits.rows(24, 36), labels.rows(24, 36), third_row);
    BOOST_TEST(std::equal(rows.begin(), rows.end(), whole.begin() + 24));
    // The second half of each row, as a slice of the sequence.
    const LabelSamplePlace slice{
        .seed = 7, .step = 3, .first_row = 10, .row_tokens = 6, .row_begin = 6, .row_stride = 12};
    const auto half = draw(stream, logits.rows(6, 12), labels.rows(6, 12), slice);
    BOOST_TEST(std::equal(half.begin(), half.end(), whole.begin() + 6));
    LabelSamplePlace other_step = place, other_seed = place;
    other_step.step = 4;
    other_seed.seed = 8;
    BOOST_TEST((draw(stream, logits, labels, other_step) != whole));
    BOOST_TEST((draw(stream, logits, labels, other_seed) != whole));
  });
}

// In double, from Philox one call at a time, as label_sample.hpp says.
BOOST_AUTO_TEST_CASE(draws_are_those_of_philox_and_gumbel) {
  on_stream(1, [](Stream& stream) {
    constexpr std::int64_t tokens = 60, vocabulary = 131;
    const Values values = random_values(tokens * vocabulary, 9);
    const Tensor logits = make_tensor(stream, DType::f32, {tokens, vocabulary}, values);
    const LabelSamplePlace place{.seed = 0x123456789ABCDEFU,
                                 .step = 77,
                                 .first_row = std::int64_t{1} << 33,
                                 .row_tokens = 20,
                                 .row_stride = 20};
    const auto drawn = draw(stream, logits, labels_of(stream, Values(tokens, 0.0)), place, {0, 65});
    const std::uint64_t key = place.seed ^ 0x6c6162656c736d70U;
    for (std::int64_t c = 0; c < tokens; ++c) {
      const auto token = static_cast<std::uint64_t>(place.first_row * 20 + c);
      double best = -1e300;
      std::int32_t index = -1;
      for (std::int32_t v = 0; v < vocabulary; ++v) {
        const PhiloxCounter bits = philox_4x32_10(
            {static_cast<std::uint32_t>(v / 4), static_cast<std::uint32_t>(token),
             static_cast<std::uint32_t>(token >> 32), 77U},
            {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
        const double u =
            (static_cast<double>(bits[static_cast<std::size_t>(v % 4)] >> 1) + 0.5) * 0x1p-31;
        const double score =
            values[static_cast<std::size_t>(c * vocabulary + v)] - std::log(-std::log1p(-u));
        if (score > best) index = v;
        best = std::max(best, score);
      }
      BOOST_TEST(drawn[static_cast<std::size_t>(c)] == index);
    }
  });
}

BOOST_AUTO_TEST_CASE(ignored_labels_stay_and_certain_ones_are_drawn) {
  on_stream(1, [](Stream& stream) {
    Values row(50, -200.0);
    row[37] = 0.0;
    const Tensor labels = labels_of(stream, {4.0, -100.0, 5.0, -1.0});
    const std::vector<std::int32_t> expected = {37, -100, 37, -1};
    BOOST_TEST((draw(stream, repeated(stream, row, 4), labels, {.seed = 1}) == expected));
    BOOST_TEST((draw(stream, repeated(stream, row, 4), labels, {.seed = 1}, {0, 38}) == expected));
    const Values nowhere(50, -std::numeric_limits<double>::infinity());
    const auto none = draw(stream, repeated(stream, nowhere, 4), labels, {.seed = 1}, {0, 20});
    BOOST_TEST(none.front() == 0);
  });
}

// Of scores that are equal the lowest index is drawn, also from a later shard.
BOOST_AUTO_TEST_CASE(ties_go_to_the_lowest_index) {
  on_stream(1, [](Stream& stream) {
    const Tensor first = make_tensor(stream, DType::f32, {2, 2}, {1.5, 3.0, 1.0, 3.0});
    const Tensor second = make_tensor(stream, DType::f32, {2, 2}, {1.5, 8.0, 1.25, 8.0});
    Tensor drawn = stream.allocate(DType::i32, {2});
    choose_sampled_labels(stream, std::vector{first, second}, labels_of(stream, {0.0, 0.0}), drawn);
    BOOST_TEST(drawn.data<std::int32_t>()[0] == 3);
    BOOST_TEST(drawn.data<std::int32_t>()[1] == 8);
  });
}

}  // namespace collie::kernels
