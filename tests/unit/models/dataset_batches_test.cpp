#define BOOST_TEST_MODULE dataset_batches
#include "tests/unit/models/dataset_fixture.hpp"

#include <algorithm>
#include <set>

namespace collie {
namespace {

std::set<std::string> rows_of(const MicroBatch& batch) {
  const std::string all = shown(batch.ids_t);
  std::set<std::string> rows;
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    rows.insert(all.substr(static_cast<std::size_t>(row * batch.sequence),
                           static_cast<std::size_t>(batch.sequence)));
  }
  return rows;
}

std::string numbered_records(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += fmt::format("{{\"text\": \"r{:03}\"}}\n", i);
  return text;
}

BOOST_FIXTURE_TEST_CASE(the_global_batch_does_not_depend_on_the_grid, Fixture) {
  data.packing = false;
  data.shuffle = true;
  train_on("a.jsonl", numbered_records(23));
  const Dataset dataset = open();
  for (std::int64_t step = 0; step < 8; ++step) {
    const std::string whole = shown(batch(dataset, {1, 1, 4}, step).ids_t);
    std::string replicas, accumulated, both;
    for (std::int64_t i = 0; i < 4; ++i) {
      both += shown(batch(dataset, {2, 2, 1}, step, i / 2, i % 2).ids_t);
    }
    for (std::int64_t i = 0; i < 2; ++i) {
      replicas += shown(batch(dataset, {2, 1, 2}, step, i, 0).ids_t);
      accumulated += shown(batch(dataset, {1, 2, 2}, step, 0, i).ids_t);
    }
    BOOST_TEST(both == whole);
    BOOST_TEST(replicas == whole);
    BOOST_TEST(accumulated == whole);
    BOOST_TEST(batch(dataset, {2, 1, 2}, step, 0, 0).valid_tokens +
                   batch(dataset, {2, 1, 2}, step, 1, 0).valid_tokens ==
               batch(dataset, {1, 1, 4}, step).valid_tokens);
  }
}

BOOST_FIXTURE_TEST_CASE(each_epoch_has_every_row_once_in_a_new_order, Fixture) {
  data.packing = false;
  data.shuffle = true;
  train_on("a.jsonl", numbered_records(10));
  const Dataset dataset = open();
  BOOST_TEST(dataset.steps_per_epoch({1, 1, 4}) == 3);
  std::vector<std::string> order;
  for (std::int64_t step = 0; step < 5; ++step) {  // two epochs: 20 rows in batches of 4
    const std::string all = shown(batch(dataset, {1, 1, 4}, step).ids_t);
    for (std::size_t row = 0; row < 4; ++row) order.push_back(all.substr(row * 8, 8));
  }
  const std::vector<std::string> first(order.begin(), order.begin() + 10);
  const std::vector<std::string> second(order.begin() + 10, order.end());
  BOOST_TEST((std::set(first.begin(), first.end()).size() == 10));
  BOOST_TEST((std::set(second.begin(), second.end()).size() == 10));
  BOOST_TEST((first != second));
  BOOST_TEST((!std::is_sorted(first.begin(), first.end())));
  options.seed = 1;
  BOOST_TEST(shown(batch(open(), {1, 1, 10}).ids_t) != shown(batch(dataset, {1, 1, 10}).ids_t));
}

BOOST_FIXTURE_TEST_CASE(validation_ends_with_empty_rows, Fixture) {
  data.packing = false;
  data.shuffle = true;
  data.validation = {write("v.jsonl", numbered_records(3))};
  const auto dataset = open_validation_data(data, encoder, options);
  BOOST_REQUIRE(dataset.ok());
  BOOST_TEST(dataset->steps_per_epoch({1, 1, 2}) == 2);
  BOOST_TEST(shown(batch(*dataset, {1, 1, 2}, 0).ids_t) == "r000....r001....");
  const MicroBatch last = batch(*dataset, {1, 1, 2}, 1);
  BOOST_TEST(shown(last.ids_t) == "r002............");
  BOOST_TEST(shown(last.labels_t) == "002$------------");
  BOOST_TEST(last.valid_tokens == 4);
  BOOST_TEST(batch(*dataset, {2, 1, 1}, 1, 1).valid_tokens == 0);
}

BOOST_FIXTURE_TEST_CASE(a_fraction_divides_the_records_without_overlap_or_loss, Fixture) {
  data.packing = false;
  data.validation_fraction = 0.25;
  train_on("a.jsonl", numbered_records(40));
  const auto splits = open_training_data(data, encoder, options);
  BOOST_REQUIRE(splits.ok());
  const auto train = rows_of(batch(splits->train, {1, 1, 30}));
  const auto validation = rows_of(batch(*splits->validation, {1, 1, 10}));
  BOOST_TEST(train.size() == 30U);
  BOOST_TEST(validation.size() == 10U);
  for (const std::string& row : validation) BOOST_TEST(train.count(row) == 0U);
  BOOST_TEST(*validation.rbegin() > "r020");  // not just the first ones
  options.seed = 99;                          // the split stays when the seed changes
  const auto again = open_validation_data(data, encoder, options);
  BOOST_TEST((rows_of(batch(*again, {1, 1, 10})) == validation));
}

BOOST_FIXTURE_TEST_CASE(of_one_text_file_the_last_part_is_for_validation, Fixture) {
  data.validation_fraction = 0.25;
  train_on("a.txt", "abcdefghijklmno");  // 16 tokens with the end
  const auto splits = open_training_data(data, encoder, options);
  BOOST_REQUIRE(splits.ok());
  BOOST_TEST(shown(batch(splits->train, {1, 1, 2}).labels_t) == "bcdefghijkl-----");
  BOOST_TEST(shown(batch(*splits->validation).labels_t) == "no$-----");
}

BOOST_FIXTURE_TEST_CASE(max_records_bounds_what_is_read, Fixture) {
  data.packing = false;
  data.max_records = 5;
  train_on("a.jsonl", numbered_records(3));
  train_on("b.jsonl", numbered_records(30));
  BOOST_TEST(open().statistics().records == 5);
}

BOOST_FIXTURE_TEST_CASE(tokens_that_two_datasets_share_are_counted_once, Fixture) {
  train_on("a.jsonl", numbered_records(40));
  data.validation_fraction = 0.25;
  const DataSplits splits = open_training_data(data, encoder, options).value();
  const Dataset& train = splits.train;
  const Dataset& validation = *splits.validation;
  const std::size_t both = Dataset::memory_bytes({&train, &validation});
  const std::size_t separate =
      Dataset::memory_bytes({&train}) + Dataset::memory_bytes({nullptr, &validation});
  // Four characters and an end in each record: four bytes a token, one bit beside it.
  const std::size_t tokens = 40 * 5;
  BOOST_TEST(separate - both == tokens * 4 + tokens / 8);
  BOOST_TEST(Dataset::memory_bytes({}) == 0U);
}

// 8 slots a row, 3 of them virtual: documents of at most 5, each behind virtual tokens of its own.
BOOST_FIXTURE_TEST_CASE(virtual_tokens_stand_before_every_piece, Fixture) {
  options.virtual_tokens = 3;
  data.packing = true;
  train_on("a.jsonl", "{\"text\": \"abcdefghij\"}\n{\"text\": \"x\"}\n");
  const Dataset dataset = open();
  std::int64_t labels = 0, real = 0;
  for (std::int64_t step = 0; step < dataset.row_count(); ++step) {
    const MicroBatch row = batch(dataset, {1, 1, 1}, step);
    const auto* ids = row.ids_t.data<std::int32_t>();
    const auto* positions = row.positions_t.data<std::int32_t>();
    const auto* label = row.labels_t.data<std::int32_t>();
    BOOST_TEST(ids[0] == virtual_token_id);
    for (std::int64_t slot = 0; slot < row.sequence; ++slot) {
      if (label[slot] != ignored_label) BOOST_TEST(positions[slot] >= 3);
      const bool is_virtual = ids[slot] == virtual_token_id;
      if (is_virtual) BOOST_TEST((positions[slot] < 3 && label[slot] == ignored_label));
      if (slot > 0 && positions[slot] > 0) BOOST_TEST(positions[slot] == positions[slot - 1] + 1);
      real += positions[slot] >= 3 ? 1 : 0;
    }
    labels += row.valid_tokens;
  }
  options.virtual_tokens = 0;
  const Dataset plain = open();
  BOOST_TEST(labels == plain.statistics().learned_tokens);
  BOOST_TEST(real == plain.statistics().tokens);
  options.virtual_tokens = 8;
  BOOST_TEST(says(error(), "data.sequence_length: 8 leaves no room behind 8 virtual tokens"));
}

}  // namespace
}  // namespace collie
