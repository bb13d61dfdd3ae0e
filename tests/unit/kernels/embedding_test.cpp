#define BOOST_TEST_MODULE embedding
#include "kernels/embedding.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>

#include "numeric_check.hpp"

using namespace collie;
using namespace collie::kernels;
using namespace collie::numeric_check;

namespace {

constexpr std::int64_t tokens = 150;
constexpr std::int64_t rows = 10;  // of ids 0..19; a shard holds [5, 15)
constexpr std::int64_t row_begin = 5;

std::vector<std::int32_t> make_ids() {
  std::vector<std::int32_t> ids;
  for (std::int32_t t = 0; t < tokens; ++t) ids.push_back(t * 7 % 20);
  return ids;
}

bool held(std::int32_t id) {
  return id >= row_begin && id < row_begin + rows;
}

Values reference(const Values& table, std::int64_t hidden) {
  Values out;
  for (const std::int32_t id : make_ids()) {
    for (std::int64_t i = 0; i < hidden; ++i) {
      out.push_back(held(id) ? table[static_cast<std::size_t>((id - row_begin) * hidden + i)]
                             : 0.0);
    }
  }
  return out;
}

// A table between two rows that nobody may use: reading one shows, writing one is found below.
constexpr double guard = 77.0;

Tensor guarded(Stream& stream, DType dtype, const Values& table, std::int64_t hidden) {
  Values values(static_cast<std::size_t>((rows + 2) * hidden), guard);
  std::copy(table.begin(), table.end(), values.begin() + hidden);
  return tensor_of(stream, dtype, {rows + 2, hidden}, values);
}

Tensor scattered(int threads, DType dtype, const Values& dout, std::int64_t hidden) {
  Stream stream(inline_stream(threads));
  const Tensor all =
      guarded(stream, DType::f32, Values(static_cast<std::size_t>(rows * hidden), 0.25), hidden);
  Tensor dtable = all.rows(1, 1 + rows);
  embedding_backward(stream, ids_of(stream, make_ids()),
                     tensor_of(stream, dtype, {tokens, hidden}, dout), row_begin, dtable);
  const Values before = values_of(all.rows(0, 1));
  const Values after = values_of(all.rows(1 + rows, 2 + rows));
  BOOST_TEST((before == Values(before.size(), guard) && after == before));
  return dtable;
}

}  // namespace

BOOST_AUTO_TEST_CASE(rows_are_copied_or_added) {
  for (const std::int64_t hidden : {1, 24, 131}) {
    for (const DType from : {DType::f32, DType::bf16}) {
      for (const DType to : {DType::f32, DType::bf16}) {
        Stream stream(inline_stream(2));
        const Values table = rounded(from, random_values(rows * hidden, 1));
        Tensor out = unwritten(stream, to, {tokens, hidden});
        const Tensor ids = ids_of(stream, make_ids());
        const Tensor held_table = guarded(stream, from, table, hidden).rows(1, 1 + rows);
        embedding_forward(stream, ids, held_table, row_begin, out);
        BOOST_TEST((values_of(out) == rounded(to, reference(table, hidden))));
        embedding_forward(stream, ids, held_table, row_begin, out, true);
        Values twice = reference(rounded(to, table), hidden);
        Values once = reference(table, hidden);
        for (std::size_t i = 0; i < twice.size(); ++i) twice[i] += once[i];
        BOOST_TEST((values_of(out) == rounded(to, twice)));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(the_backward_adds_the_gradient) {
  for (const std::int64_t hidden : {1, 24, 131}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Values table = random_values(rows * hidden, 1);
      const Values dout = rounded(dtype, random_values(tokens * hidden, 2));
      const auto indices = sample(table.size(), 100);
      Values want = numeric_gradient(
          [&](const Values& values) { return reference(values, hidden); }, table, dout, indices);
      for (double& value : want) value += 0.25;
      const Tensor got = scattered(1, dtype, dout, hidden);
      BOOST_TEST(relative_error(pick(values_of(got), indices), want) < 1e-6);
      BOOST_TEST(same_bits(got, scattered(2, dtype, dout, hidden)));
      BOOST_TEST(same_bits(got, scattered(3, dtype, dout, hidden)));
    }
  }
}
