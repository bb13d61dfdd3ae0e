// Every published figure that the command prints comes out.
#define BOOST_TEST_MODULE reproduce
#include "actors/schedule/reproduce/reproduce.hpp"

#include <boost/test/unit_test.hpp>

using namespace collie;

namespace {

void check_all(const ReproducedTable& table, std::size_t rows) {
  BOOST_CHECK_EQUAL(table.rows.size(), rows);
  for (const ReproducedRow& row : table.rows) {
    BOOST_TEST_INFO(table.title << ": " << row.what << " " << row.note);
    BOOST_CHECK_EQUAL(row.ours, row.published);
    BOOST_CHECK_EQUAL(row.passes, row.ours == row.published);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(zero_bubble_table_5) {
  check_all(reproduce_zero_bubble(), 72);
}

BOOST_AUTO_TEST_CASE(dual_pipe_readme) {
  check_all(reproduce_dual_pipe(), 20);
}

BOOST_AUTO_TEST_CASE(peaks_of_v_half_and_v_min) {
  check_all(reproduce_controllable_memory(), 12);
}

BOOST_AUTO_TEST_CASE(closed_forms_of_synchronous_schedules) {
  check_all(reproduce_closed_forms(), 72);
}

BOOST_AUTO_TEST_CASE(staleness_and_weight_versions) {
  check_all(reproduce_versions(), 4);
}

BOOST_AUTO_TEST_CASE(least_credit) {
  check_all(reproduce_credits(), 22);
}

BOOST_AUTO_TEST_CASE(all_tables_are_printed_in_order) {
  const std::vector<ReproducedTable> tables = reproduce_all();
  BOOST_REQUIRE_EQUAL(tables.size(), 6U);
  BOOST_CHECK(tables[0].title.starts_with("Zero Bubble"));
}
