#define BOOST_TEST_MODULE suggest
#include "runtime/suggest.hpp"

#include <boost/test/unit_test.hpp>
#include <vector>

using namespace collie;

BOOST_AUTO_TEST_CASE(edit_distance_counts_edits_and_swaps) {
  BOOST_TEST(edit_distance("", "") == 0u);
  BOOST_TEST(edit_distance("abc", "") == 3u);
  BOOST_TEST(edit_distance("kitten", "sitting") == 3u);
  BOOST_TEST(edit_distance("warmup", "wramup") == 1u);
  BOOST_TEST(edit_distance("ca", "abc") == 3u);  // optimal string alignment, not Damerau's 2
  BOOST_TEST(edit_distance("flaw", "lawn") == edit_distance("lawn", "flaw"));
}

BOOST_AUTO_TEST_CASE(nearest_name_is_found) {
  const std::vector<std::string> known = {"lr", "max_steps", "warmup_steps", "warmup_ratio",
                                          "seed"};
  BOOST_TEST(*nearest_name("warmup_step", known) == "warmup_steps");
  BOOST_TEST(*nearest_name("max_stpes", known) == "max_steps");
  BOOST_TEST(*nearest_name("LR", known) == "lr");
  BOOST_TEST(did_you_mean("sed", known) == "; did you mean 'seed'?");
}

BOOST_AUTO_TEST_CASE(far_names_are_not_suggested) {
  const std::vector<std::string> known = {"lr", "max_steps"};
  BOOST_TEST(!nearest_name("tokenizer", known).has_value());
  BOOST_TEST(!nearest_name("xy", known).has_value());
  BOOST_TEST(!nearest_name("max_steps", {}).has_value());
  BOOST_TEST(!nearest_name(std::string(10'000, 'm'), known).has_value());
  BOOST_TEST(did_you_mean("tokenizer", known).empty());
}

BOOST_AUTO_TEST_CASE(quoted_names_are_one_short_line) {
  BOOST_TEST(quoted_name("a b") == "'a b'");
  BOOST_TEST(quoted_name("a\nb\x7f") == "'a\\x0ab\\x7f'");
  BOOST_TEST(quoted_name(std::string(100, 'x')) == "'" + std::string(80, 'x') + "...'");
}
