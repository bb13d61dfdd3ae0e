#define BOOST_TEST_MODULE dataset_mixing
#include "models/dataset/mixing.hpp"

#include <cmath>
#include <numeric>

#include "tests/unit/models/dataset_fixture.hpp"

namespace collie {
namespace {

void check_schedule(const std::vector<double>& weights, std::uint64_t seed, std::int64_t from,
                    std::int64_t places) {
  const MixSchedule mix(weights, seed);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::int64_t> given = mix.counts(from);
  for (std::int64_t place = from; place < from + places; ++place) {
    const MixSchedule::Draw draw = mix.at(place);
    // The next of its source: none is left out and none comes twice.
    BOOST_REQUIRE(draw.index == given[draw.source]);
    ++given[draw.source];
    for (std::size_t source = 0; source < weights.size(); ++source) {
      const double ideal = static_cast<double>(place + 1) * weights[source] / sum;
      // Shares are rounded to 2^-32, which adds up.
      const double rounding = static_cast<double>(place) * std::ldexp(1.0, -31);
      BOOST_REQUIRE(std::abs(static_cast<double>(given[source]) - ideal) <
                    2.0 + static_cast<double>(weights.size()) + rounding);
    }
  }
  BOOST_TEST(mix.counts(from + places) == given, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(every_source_has_its_share_at_every_place_and_loses_nothing) {
  for (const std::uint64_t seed : {0U, 7U}) {
    check_schedule({1.0}, seed, 0, 100);
    check_schedule({1.0, 1.0}, seed, 0, 5000);
    check_schedule({0.7, 0.2, 0.1}, seed, 0, 20000);
    check_schedule({1e-3, 5.0, 1.0 / 3.0, 2.0, 1e6}, seed, 0, 20000);
    check_schedule({3.0, 1e-12, 1.0}, seed, (std::int64_t{1} << 32) - 50, 5000);  // a period ends
    check_schedule({1.0}, seed, (std::int64_t{1} << 40) - 5, 10);
  }
  const MixSchedule half(std::vector<double>{1.0, 3.0}, 3);
  BOOST_TEST(half.share(0) == std::uint64_t{1} << 30);
  BOOST_TEST(half.counts(std::int64_t{1} << 33)[0] == std::int64_t{1} << 31);
}

BOOST_AUTO_TEST_CASE(the_seed_changes_where_the_sources_stand) {
  const std::vector<double> weights{1.0, 1.0, 1.0, 1.0};
  std::vector<std::size_t> first, second;
  for (std::int64_t place = 0; place < 64; ++place) {
    first.push_back(MixSchedule(weights, 1).at(place).source);
    second.push_back(MixSchedule(weights, 2).at(place).source);
  }
  BOOST_TEST((first != second));
}

std::string numbered(char letter, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += fmt::format("{{\"text\": \"{}{:03}\"}}\n", letter, i);
  return text;
}

struct Sources : Fixture {
  Sources() {
    data.packing = false;
    add("a.jsonl", numbered('a', 30), 1.0);
    add("b.jsonl", numbered('b', 11), 2.0);
    add("c.jsonl", numbered('c', 50), 0.0);
  }
  void add(const std::string& name, std::string_view content, double weight) {
    train_on(name, content);
    data.train.back().weight = weight;
  }
  // The rows at places [begin, end), "a000" and so on.
  std::vector<std::string> rows(const Dataset& dataset, std::int64_t begin, std::int64_t end) {
    std::vector<std::string> all;
    for (std::int64_t place = begin; place < end; ++place) {
      all.push_back(shown(batch(dataset, {}, place).ids_t).substr(0, 4));
    }
    return all;
  }
};

BOOST_FIXTURE_TEST_CASE(each_epoch_of_a_source_has_each_of_its_rows_once, Sources) {
  data.shuffle = true;
  const Dataset dataset = open();
  BOOST_TEST(dataset.row_count() == 91);
  BOOST_TEST(dataset.pools()[1].name == "b.jsonl");
  BOOST_TEST(dataset.pools()[2].weight == 1.0);  // none was given
  std::map<char, std::vector<std::string>> drawn;
  for (const std::string& row : rows(dataset, 0, 400)) drawn[row[0]].push_back(row);
  BOOST_TEST(std::abs(static_cast<int>(drawn['b'].size()) - 200) <= 5);
  const std::map<char, std::size_t> sizes{{'a', 30}, {'b', 11}, {'c', 50}};
  for (const auto& [letter, size] : sizes) {
    const std::vector<std::string>& all = drawn[letter];
    std::vector<std::string> before;
    for (std::size_t begin = 0; begin + size <= all.size(); begin += size) {
      const std::vector<std::string> epoch(all.begin() + static_cast<std::ptrdiff_t>(begin),
                                           all.begin() + static_cast<std::ptrdiff_t>(begin + size));
      std::vector<std::string> sorted = epoch;
      std::sort(sorted.begin(), sorted.end());
      BOOST_TEST((std::unique(sorted.begin(), sorted.end()) == sorted.end()));
      BOOST_TEST((epoch != before));  // each epoch has an order of its own
      before = epoch;
    }
  }
  const std::vector<double> epochs = dataset.pool_epochs(400);
  BOOST_TEST(epochs[1] == static_cast<double>(drawn['b'].size()) / 11.0);
}

BOOST_FIXTURE_TEST_CASE(the_mix_does_not_depend_on_the_grid, Sources) {
  data.shuffle = true;
  const Dataset dataset = open();
  for (std::int64_t step = 0; step < 30; ++step) {
    const std::string whole = shown(batch(dataset, {1, 1, 4}, step).ids_t);
    std::string parts;
    for (std::int64_t i = 0; i < 4; ++i) {
      parts += shown(batch(dataset, {2, 2, 1}, step, i / 2, i % 2).ids_t);
    }
    BOOST_TEST(parts == whole);
  }
  BOOST_TEST(rows(dataset, 300, 350) == rows(open(), 300, 350), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(without_shuffling_each_source_is_read_in_its_order, Sources) {
  std::map<char, int> next;
  for (const std::string& row : rows(open(), 0, 60)) {
    BOOST_TEST(std::stoi(row.substr(1)) == next[row[0]]++ % (row[0] == 'b' ? 11 : 1000));
  }
}

BOOST_FIXTURE_TEST_CASE(a_fraction_of_each_source_validates_and_each_row_stands_once, Sources) {
  data.validation_fraction = 0.1;
  const DataSplits splits = open_training_data(data, encoder, options).value();
  BOOST_TEST(splits.validation->row_count() == 3 + 1 + 5);
  BOOST_TEST(splits.train.row_count() == 27 + 10 + 45);
  BOOST_TEST(splits.validation->pools().size() == 3U);
  const auto rows_once = rows(*splits.validation, 0, 12);
  BOOST_TEST(rows_once[2][0] == 'a');
  BOOST_TEST(rows_once[3][0] == 'b');
  BOOST_TEST(rows_once[8][0] == 'c');
  BOOST_TEST(rows_once[9] == "....");
}

BOOST_FIXTURE_TEST_CASE(sources_without_weights_are_one_pool, Sources) {
  for (DataSource& source : data.train) source.weight = 0.0;
  BOOST_TEST(open().pools().size() == 1U);
  data.train[1].weight = 1.0;
  data.train[1].name = "books";
  BOOST_TEST(open().pools()[1].name == "books");
}

}  // namespace
}  // namespace collie
