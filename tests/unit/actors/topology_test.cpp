#define BOOST_TEST_MODULE topology
#include "actors/topology.hpp"

#include <boost/test/unit_test.hpp>

#include "runtime/limits.hpp"

using namespace collie;

BOOST_AUTO_TEST_CASE(positions_count_replicas_then_stages_then_tensor_shards) {
  const Grid grid{2, 3, 4};
  BOOST_CHECK_EQUAL(grid.shard_count(), 24);
  int index = 0;
  for (int replica = 0; replica < 2; ++replica) {
    for (int stage = 0; stage < 4; ++stage) {
      for (int tensor = 0; tensor < 3; ++tensor) {
        const ShardId shard{replica, stage, tensor};
        BOOST_CHECK_EQUAL(index_of(grid, shard), index);
        BOOST_CHECK(shard_at(grid, index) == shard);
        ++index;
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(groups_differ_in_one_axis_each) {
  const Grid grid{2, 3, 4};
  const ShardId shard{1, 2, 0};
  const std::vector<ShardId> tensors{{1, 2, 0}, {1, 2, 1}, {1, 2, 2}};
  const std::vector<ShardId> replicas{{0, 2, 0}, {1, 2, 0}};
  const std::vector<ShardId> tied{{1, 0, 0}, {1, 3, 0}};
  BOOST_CHECK(tensor_group(grid, shard) == tensors);
  BOOST_CHECK(replica_group(grid, shard) == replicas);
  BOOST_CHECK(tied_group(grid, shard) == tied);
}

BOOST_AUTO_TEST_CASE(an_axis_out_of_range_is_named) {
  BOOST_CHECK(check_grid({1, 1, limits::grid_axis_max}).ok());
  const Status none = check_grid({1, 0, 1});
  BOOST_REQUIRE(!none.ok());
  BOOST_CHECK(none.error().message.starts_with("grid.tp: 0"));
  const Status many = check_grid({1, 1, limits::grid_axis_max + 1});
  BOOST_REQUIRE(!many.ok());
  BOOST_CHECK(many.error().message.starts_with("grid.pp"));
}

BOOST_AUTO_TEST_CASE(a_shard_has_a_name) {
  BOOST_CHECK_EQUAL(to_string(ShardId{0, 1, 2}), "replica 0 stage 1 shard 2");
}
