#define BOOST_TEST_MODULE dropout
#include "kernels/dropout.hpp"

#include <boost/test/unit_test.hpp>

#include "kernel_test.hpp"
#include "kernels/elementwise_philox.hpp"

namespace collie::kernels {
namespace {

using namespace collie::testing;

Tensor ones(Stream& stream, std::int64_t rows, std::int64_t columns) {
  return make_tensor(stream, DType::f32, {rows, columns},
                     Values(static_cast<std::size_t>(rows * columns), 1.0));
}

Values dropped(Stream& stream, std::int64_t rows, std::int64_t columns, const DropoutPlace& place) {
  Tensor out = stream.allocate(DType::f32, {rows, columns});
  dropout(stream, ones(stream, rows, columns), place, out);
  return to_values(out);
}

BOOST_AUTO_TEST_CASE(keeps_the_mean_and_drops_the_share) {
  on_stream(2, [](Stream& stream) {
    constexpr std::int64_t rows = 1000, columns = 100;
    const DropoutPlace place{.seed = 3, .stream_id = 9, .probability = 0.2, .columns = columns};
    double zeros = 0.0;
    for (const double value : dropped(stream, rows, columns, place)) {
      if (value == 0.0) {
        ++zeros;
      } else {
        BOOST_TEST(value == 1.25, boost::test_tools::tolerance(1e-6));
      }
    }
    // Five standard deviations of a binomial count.
    BOOST_TEST(std::abs(zeros - 0.2 * rows * columns) < 5.0 * std::sqrt(0.16 * rows * columns));
  });
}

// Philox one call at a time, eight draws each, as dropout.hpp says.
BOOST_AUTO_TEST_CASE(masks_are_those_of_philox) {
  on_stream(1, [](Stream& stream) {
    constexpr std::int64_t rows = 3, columns = 301;
    const DropoutPlace place{.seed = 0x123456789ABCU,
                             .stream_id = 0xFEDCBA9876543210U,
                             .probability = 0.3,
                             .row_begin = std::int64_t{1} << 33,  // calls beyond 32 bits
                             .columns = columns};
    const Values got = dropped(stream, rows, columns, place);
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      const auto element = static_cast<std::uint64_t>(place.row_begin * columns + i);
      const PhiloxCounter bits =
          philox_4x32_10({static_cast<std::uint32_t>(element / 8),
                          static_cast<std::uint32_t>(element / 8 >> 32), 0x76543210U, 0xFEDCBA98U},
                         {0x56789ABCU, 0x1234U});
      const std::uint32_t word = bits[element % 8 / 2];
      const std::uint32_t draw = element % 2 == 0 ? word & 0xFFFFU : word >> 16;
      const bool is_kept = draw >= 19661;  // 0.3 of 2^16
      BOOST_TEST((got[static_cast<std::size_t>(i)] != 0.0) == is_kept);
    }
  });
}

BOOST_AUTO_TEST_CASE(any_cut_gives_the_same_mask) {
  on_stream(1, [](Stream& stream) {
    constexpr std::int64_t rows = 12, columns = 37;
    DropoutPlace place{.seed = 1, .stream_id = 2, .probability = 0.5, .columns = columns};
    const Values whole = dropped(stream, rows, columns, place);
    const auto element = [&](std::int64_t row, std::int64_t column) {
      return whole[static_cast<std::size_t>(row * columns + column)];
    };
    place.row_begin = 5;
    place.column_begin = 10;
    const Values part = dropped(stream, 3, 20, place);
    for (std::int64_t t = 0; t < 3; ++t) {
      for (std::int64_t k = 0; k < 20; ++k) {
        BOOST_TEST(part[static_cast<std::size_t>(t * 20 + k)] == element(5 + t, 10 + k));
      }
    }
    // The second half of sequences of 4 rows: rows 2, 3, 6, 7, 10, 11.
    const DropoutPlace halves{.seed = 1,
                              .stream_id = 2,
                              .probability = 0.5,
                              .row_begin = 2,
                              .rows_together = 2,
                              .rows_between = 2,
                              .columns = columns};
    const Values slices = dropped(stream, 6, columns, halves);
    const std::int64_t expected[] = {2, 3, 6, 7, 10, 11};
    for (std::int64_t t = 0; t < 6; ++t) {
      BOOST_TEST(slices[static_cast<std::size_t>(t * columns)] == element(expected[t], 0));
      BOOST_TEST(slices[static_cast<std::size_t>(t * columns + 36)] == element(expected[t], 36));
    }
  });
}

BOOST_AUTO_TEST_CASE(streams_and_seeds_differ_and_adding_adds) {
  on_stream(1, [](Stream& stream) {
    const DropoutPlace place{.seed = 1, .stream_id = 2, .probability = 0.5, .columns = 64};
    const Values first = dropped(stream, 4, 64, place);
    DropoutPlace other = place;
    other.stream_id = 3;
    BOOST_TEST((dropped(stream, 4, 64, other) != first));
    other = place;
    other.seed = 2;
    BOOST_TEST((dropped(stream, 4, 64, other) != first));
    Tensor out = ones(stream, 4, 64);
    dropout(stream, ones(stream, 4, 64), place, out, true);
    const Values added = to_values(out);
    for (std::size_t i = 0; i < added.size(); ++i) BOOST_TEST(added[i] == first[i] + 1.0);
  });
}

}  // namespace
}  // namespace collie::kernels
