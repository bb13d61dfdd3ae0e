#define BOOST_TEST_MODULE hash
#include "runtime/hash.hpp"

#include <array>
#include <boost/test/unit_test.hpp>

using namespace collie;

namespace {

std::uint64_t hash_of(std::string_view text) {
  return hash_bytes(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace

// Expected values: xxhash.xxh3_64_hexdigest of the Python package xxhash.
BOOST_AUTO_TEST_CASE(known_values) {
  BOOST_TEST(hash_text(hash_of("")) == "2d06800538d394c2");
  BOOST_TEST(hash_text(hash_of("collie")) == "ae87a4f273f8f719");
  BOOST_TEST(hash_text(hash_of(std::string(1000, 'x'))) == "c0a4877b962cba82");
}

BOOST_AUTO_TEST_CASE(pieces_give_the_hash_of_the_whole) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text.push_back(static_cast<char>(i * 31 % 251));
  for (const std::size_t piece : {1u, 63u, 64u, 1000u, 4999u, 5000u}) {
    Hash64 hash;
    for (std::size_t i = 0; i < text.size(); i += piece) {
      hash.update(std::string_view(text).substr(i, piece));
    }
    BOOST_TEST(hash.value() == hash_of(text));
    BOOST_TEST(hash.value() == hash_of(text));  // asking changes nothing
  }
}

BOOST_AUTO_TEST_CASE(combining_depends_on_order) {
  const std::array<std::uint64_t, 2> forward = {1, 2};
  const std::array<std::uint64_t, 2> backward = {2, 1};
  BOOST_TEST(combine_hashes(forward) != combine_hashes(backward));
  BOOST_TEST(combine_hashes(forward) == combine_hashes(forward));
}

BOOST_AUTO_TEST_CASE(text_and_back) {
  BOOST_TEST(hash_text(0x1fULL) == "000000000000001f");
  BOOST_TEST(*hash_from_text("000000000000001f") == 0x1fULL);
  BOOST_TEST(*hash_from_text(hash_text(~0ULL)) == ~0ULL);
  for (const char* bad : {"", "1f", "000000000000001F", "000000000000001g", "-00000000000001f",
                          "000000000000001f0"}) {
    BOOST_TEST(!hash_from_text(bad).has_value());
  }
}
