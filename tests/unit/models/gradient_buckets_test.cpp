// Gradients of shards and replicas, summed by hand beside.
#define BOOST_TEST_MODULE gradient_buckets
#include "models/gradient_buckets.hpp"

#include <boost/test/unit_test.hpp>
#include <deque>

using namespace collie;

namespace {

ParameterSpec spec_of(const std::string& name, std::int64_t rows, std::int64_t cols) {
  ParameterSpec spec;
  spec.name = name;
  spec.rows = spec.row_end = rows;
  spec.cols = spec.col_end = cols;
  return spec;
}

// A matrix of the shard's own and two parameters that some of the shards hold together.
std::vector<ParameterSpec> mixed_specs() {
  std::vector<ParameterSpec> specs{spec_of("own", 5, 3), spec_of("first", 4, 1),
                                   spec_of("second", 2, 2)};
  specs[1].gradient_group_end = 2;
  specs[2].gradient_group_begin = 2;
  specs[2].gradient_group_end = 4;
  return specs;
}

float value_of(int rank, std::int64_t element) {
  return static_cast<float>((rank + 1) * 100 + element);
}

// As many holders of the same parameters, each with gradients of its own.
struct Group {
  Group(const std::vector<ParameterSpec>& specs, int ranks) : stream(inline_stream()) {
    for (int rank = 0; rank < ranks; ++rank) {
      Parameters& parameters = members.emplace_back(stream.allocator(), specs, DType::f32, true);
      float* gradients = parameters.gradients().mutable_data<float>();
      for (std::int64_t i = 0; i < parameters.gradients().element_count(); ++i) {
        gradients[i] = value_of(rank, i);
      }
    }
  }
  static StreamOptions inline_stream() {
    StreamOptions options;
    options.inline_execution = true;
    return options;
  }
  float gradient(int rank, std::int64_t element) {
    return members[static_cast<std::size_t>(rank)].gradients().data<float>()[element];
  }
  template <class Work>
  void on_each(Work work) {
    int rank = 0;
    for (Parameters& parameters : members) {
      stream.submit([&] { work(parameters, rank); });
      ++rank;
    }
    BOOST_REQUIRE(stream.status().ok());
  }

  Stream stream;
  std::deque<Parameters> members;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_shared_parameter_is_summed_over_the_shards_that_hold_it) {
  Group shards(mixed_specs(), 4);
  BOOST_CHECK(has_shared_parameters(mixed_specs()));
  BOOST_CHECK(!has_shared_parameters({spec_of("own", 5, 3)}));
  std::vector<Tensor> parts;
  shards.on_each([&](Parameters& parameters, int) {
    parts.push_back(pack_shared_gradients(shards.stream, parameters));
  });
  BOOST_CHECK_EQUAL(parts[0].element_count(), 4 + 4);
  shards.on_each(
      [&](Parameters& parameters, int) { sum_shared_gradients(shards.stream, parameters, parts); });
  const Parameters& any = shards.members.front();
  for (int rank = 0; rank < 4; ++rank) {
    for (std::int64_t i = 0; i < 15; ++i) {
      BOOST_CHECK_EQUAL(shards.gradient(rank, i), value_of(rank, i));
    }
    for (std::int64_t i = 0; i < 4; ++i) {
      const std::int64_t first = any.offset(1) + i;
      const std::int64_t second = any.offset(2) + i;
      BOOST_CHECK_EQUAL(shards.gradient(rank, first), value_of(0, first) + value_of(1, first));
      BOOST_CHECK_EQUAL(shards.gradient(rank, second), value_of(2, second) + value_of(3, second));
    }
  }
}

BOOST_AUTO_TEST_CASE(replicas_sum_a_slice_each_and_then_have_the_whole) {
  for (const int ranks : {2, 3, 5}) {  // of 3 cache lines: 5 leave some without a slice
    Group replicas(mixed_specs(), ranks);
    std::vector<Tensor> parts;
    for (Parameters& parameters : replicas.members) parts.push_back(parameters.gradients());
    replicas.on_each([&](Parameters& parameters, int rank) {
      sum_own_slice(replicas.stream, parameters, rank, parts);
    });
    replicas.on_each([&](Parameters& parameters, int rank) {
      copy_other_slices(replicas.stream, parameters, rank, parts);
    });
    for (std::int64_t i = 0; i < parts[0].element_count(); ++i) {
      float sum = 0.0F;
      for (int rank = 0; rank < ranks; ++rank) sum += value_of(rank, i);
      for (int rank = 0; rank < ranks; ++rank) BOOST_CHECK_EQUAL(replicas.gradient(rank, i), sum);
    }
  }
}

BOOST_AUTO_TEST_CASE(both_ends_of_a_tied_embedding_get_the_sum) {
  std::vector<ParameterSpec> first{spec_of("embedding", 4, 2), spec_of("other", 3, 1)};
  std::vector<ParameterSpec> last{spec_of("other", 3, 1), spec_of("head", 4, 2)};
  last[1].tied_to = "embedding";
  Group begin(first, 1);
  Group end(last, 1);
  std::vector<Tensor> parts;
  begin.on_each([&](Parameters& parameters, int) {
    parts.push_back(copy_tied_gradient(begin.stream, parameters));
  });
  end.on_each([&](Parameters& parameters, int) {
    parts.push_back(copy_tied_gradient(end.stream, parameters));
  });
  begin.on_each(
      [&](Parameters& parameters, int) { sum_tied_gradients(begin.stream, parameters, parts); });
  end.on_each(
      [&](Parameters& parameters, int) { sum_tied_gradients(end.stream, parameters, parts); });
  const std::int64_t head = end.members.front().offset(1);
  for (std::int64_t i = 0; i < 8; ++i) {
    const float sum = value_of(0, i) + value_of(0, head + i);
    BOOST_CHECK_EQUAL(begin.gradient(0, i), sum);
    BOOST_CHECK_EQUAL(end.gradient(0, head + i), sum);
    BOOST_CHECK_EQUAL(end.gradient(0, i % 3), value_of(0, i % 3));
  }
}
