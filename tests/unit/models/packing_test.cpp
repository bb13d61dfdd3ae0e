#define BOOST_TEST_MODULE packing
#include "models/dataset/packing.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>

#include "models/dataset/permutation.hpp"

namespace collie {
namespace {

std::vector<Piece> pieces_of(std::initializer_list<std::int64_t> lengths) {
  std::vector<Piece> pieces;
  std::int64_t begin = 0;
  for (const std::int64_t length : lengths) {
    pieces.push_back({begin, length});
    begin += length + 1;
  }
  return pieces;
}

std::vector<std::vector<std::int64_t>> lengths_of(const RowPlan& plan) {
  std::vector<std::vector<std::int64_t>> rows;
  for (std::int64_t row = 0; row < plan.row_count(); ++row) {
    rows.emplace_back();
    for (const Piece& piece : plan.row(row)) rows.back().push_back(piece.slots);
  }
  return rows;
}

using Rows = std::vector<std::vector<std::int64_t>>;

BOOST_AUTO_TEST_CASE(a_document_is_cut_so_that_every_token_but_the_first_is_predicted_once) {
  std::vector<Piece> pieces;
  cut_document(100, 109, 4, pieces);  // 9 tokens, 8 to predict
  BOOST_TEST((pieces == std::vector<Piece>{{100, 4}, {104, 4}}));
  pieces.clear();
  cut_document(0, 6, 4, pieces);
  BOOST_TEST((pieces == std::vector<Piece>{{0, 4}, {4, 1}}));
  pieces.clear();
  cut_document(0, 1, 4, pieces);  // nothing to predict
  BOOST_TEST(pieces.empty());
}

BOOST_AUTO_TEST_CASE(pieces_go_into_the_fullest_row_with_room) {
  // By hand: 7 opens row 0 (3 left), 6 row 1 (4 left), 4 fills row 1, 3 fills row 0, 2 opens row 2.
  const RowPlan plan = pack_rows(pieces_of({3, 7, 2, 6, 4}), 10);
  BOOST_TEST((lengths_of(plan) == Rows{{7, 3}, {6, 4}, {2}}));
}

BOOST_AUTO_TEST_CASE(the_best_fit_is_not_the_first_fit) {
  // 6 leaves 4, 7 leaves 3: a 3 belongs beside the 7 although the row of the 6 has room as well.
  const RowPlan plan = pack_rows(pieces_of({6, 7, 3, 4}), 10);
  BOOST_TEST((lengths_of(plan) == Rows{{7, 3}, {6, 4}}));
}

BOOST_AUTO_TEST_CASE(a_window_packs_only_what_stands_together) {
  // By hand, in threes: {3, 7, 2} and {6, 4, 1}; over all six the 4 would lie beside the 6 and the
  // 2 and 1 would share the row that is left.
  const std::vector<Piece> pieces = pieces_of({3, 7, 2, 6, 4, 1});
  BOOST_TEST((lengths_of(pack_rows(pieces, 10, 3)) == Rows{{7, 3}, {2}, {6, 4}, {1}}));
  BOOST_TEST((lengths_of(pack_rows(pieces, 10)) == Rows{{7, 3}, {6, 4}, {2, 1}}));
  BOOST_TEST((lengths_of(pack_rows(pieces, 10, 1)) == Rows{{3}, {7}, {2}, {6}, {4}, {1}}));
  BOOST_TEST((pack_rows(pieces, 10, 6).pieces == pack_rows(pieces, 10).pieces));
}

BOOST_AUTO_TEST_CASE(windows_lose_no_piece_and_leave_one_poor_row_each) {
  std::vector<Piece> pieces;
  for (std::int64_t i = 0, begin = 0; i < 5000; ++i) {
    const auto slots = static_cast<std::int64_t>(mix_bits(static_cast<std::uint64_t>(i)) % 100) + 1;
    pieces.push_back({begin, slots});
    begin += slots + 1;
  }
  const RowPlan plan = pack_rows(pieces, 100, 64);
  std::int64_t poor = 0;
  for (std::int64_t row = 0; row < plan.row_count(); ++row) {
    std::int64_t used = 0;
    for (const Piece& piece : plan.row(row)) used += piece.slots;
    BOOST_REQUIRE(used <= 100);
    poor += used < 50 ? 1 : 0;
  }
  BOOST_TEST(poor <= (5000 + 63) / 64);
  std::vector<Piece> sorted = plan.pieces;
  std::sort(sorted.begin(), sorted.end(), [](const Piece& left, const Piece& right) {
    return left.token_begin < right.token_begin;
  });
  BOOST_TEST((sorted == pieces));
}

BOOST_AUTO_TEST_CASE(equal_rows_fill_in_the_order_they_were_opened) {
  const std::vector<Piece> pieces = pieces_of({8, 8, 2, 2});
  const RowPlan plan = pack_rows(pieces, 10);
  BOOST_TEST((plan.row(0)[0] == pieces[0]));
  BOOST_TEST((plan.row(0)[1] == pieces[2]));
  BOOST_TEST((plan.row(1)[1] == pieces[3]));
}

BOOST_AUTO_TEST_CASE(no_piece_is_lost_and_no_row_overflows) {
  std::vector<Piece> pieces;
  for (std::int64_t i = 0; i < 5000; ++i) {
    pieces.push_back(
        {i * 1000, 1 + static_cast<std::int64_t>(mix_bits(static_cast<std::uint64_t>(i)) % 128)});
  }
  const RowPlan plan = pack_rows(pieces, 128);
  std::vector<std::int64_t> begins;
  std::int64_t slots = 0;
  for (std::int64_t row = 0; row < plan.row_count(); ++row) {
    std::int64_t used = 0;
    for (const Piece& piece : plan.row(row)) {
      begins.push_back(piece.token_begin);
      used += piece.slots;
    }
    BOOST_REQUIRE(used <= 128);
    slots += used;
  }
  std::sort(begins.begin(), begins.end());
  for (std::size_t i = 0; i < begins.size(); ++i) {
    BOOST_REQUIRE(begins[i] == pieces[i].token_begin);
  }
  BOOST_TEST(begins.size() == pieces.size());
  BOOST_TEST(slots * 100 >= plan.row_count() * 128 * 99);  // best fit decreasing wastes little
}

BOOST_AUTO_TEST_CASE(without_packing_each_piece_has_its_row) {
  BOOST_TEST((lengths_of(single_rows(pieces_of({3, 7, 2}))) == Rows{{3}, {7}, {2}}));
}

BOOST_AUTO_TEST_CASE(a_permutation_meets_every_index_once) {
  for (const std::int64_t size : {1, 2, 3, 5, 16, 17, 1000, 4097}) {
    const Permutation permutation(size, 7, 0);
    std::vector<bool> met(static_cast<std::size_t>(size), false);
    for (std::int64_t index = 0; index < size; ++index) {
      const auto place = static_cast<std::size_t>(permutation(index));
      BOOST_REQUIRE(place < met.size());
      BOOST_REQUIRE(!met[place]);
      met[place] = true;
    }
  }
}

// Points that stay are 1 on average for a random permutation, whatever its size.
int matches(const Permutation& left, const Permutation& right, std::int64_t size) {
  int count = 0;
  for (std::int64_t index = 0; index < size; ++index) count += left(index) == right(index) ? 1 : 0;
  return count;
}

BOOST_AUTO_TEST_CASE(seeds_and_epochs_give_unrelated_permutations) {
  const Permutation first(1000, 1, 0);
  BOOST_TEST(matches(first, Permutation(1000, 1, 0), 1000) == 1000);
  BOOST_TEST(matches(first, Permutation(1000, 1, 1), 1000) < 10);
  BOOST_TEST(matches(first, Permutation(1000, 2, 0), 1000) < 10);
  int fixed = 0;
  for (std::int64_t index = 0; index < 1000; ++index) fixed += first(index) == index ? 1 : 0;
  BOOST_TEST(fixed < 10);
}

BOOST_AUTO_TEST_CASE(first_places_are_spread_evenly_over_seeds) {
  std::vector<int> counts(5, 0);
  for (std::uint64_t seed = 0; seed < 5000; ++seed) {
    ++counts[static_cast<std::size_t>(Permutation(5, seed, 0)(0))];
  }
  for (const int count : counts) {  // 1000 expected, standard deviation 28
    BOOST_TEST(count > 850);
    BOOST_TEST(count < 1150);
  }
}

}  // namespace
}  // namespace collie
