// Every optimizer over fifty steps against torch, transformers, lion-pytorch or the published rule
// in double (goldens/optimizers/make_optimizers.py), on one, two and four tensor shards.
#define BOOST_TEST_MODULE optimizers
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>

#include "optimizer_scene.hpp"
#include "runtime/safetensors.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

constexpr int golden_steps = 50;
constexpr double tolerance = 1e-6;

SceneOptions sgd_case(double momentum) {
  SceneOptions options;
  options.optimizer = {.name = "sgd", .momentum = momentum, .weight_decay = 0.1};
  options.learning_rate = 0.05;
  return options;
}

SceneOptions named_case(const char* name) {
  SceneOptions options;
  options.optimizer = {.name = name, .weight_decay = 0.1};
  return options;
}

std::map<std::string, SceneOptions> make_cases() {
  std::map<std::string, SceneOptions> cases;
  cases["sgd"] = sgd_case(0.0);
  cases["sgd_momentum"] = sgd_case(0.9);
  cases["sgd_dampening"] = sgd_case(0.8);
  cases["sgd_dampening"].optimizer.dampening = 0.25;
  cases["sgd_nesterov"] = sgd_case(0.9);
  cases["sgd_nesterov"].optimizer.nesterov = true;
  for (const char* name :
       {"adamw", "lion", "adan", "sophia", "adafactor", "muon", "lomo", "adalomo"}) {
    cases[name] = named_case(name);
  }
  cases["adamw"].optimizer.beta2 = 0.95;
  cases["adan_no_prox"] = cases["adan"];
  cases["adan_no_prox"].optimizer.proximal = false;
  cases["adafactor_beta1"] = cases["adafactor"];
  cases["adafactor_beta1"].optimizer.beta1 = 0.9;
  cases["adafactor_relative"] = cases["adafactor"];
  cases["adafactor_relative"].optimizer.relative_step = true;
  cases["muon"].learning_rate = 0.02;
  cases["muon_adamw"] = cases["muon"];
  cases["muon_adamw"].optimizer.muon_scale = MuonScale::adamw;
  for (const char* name : {"lomo", "adalomo"}) {
    cases[name].learning_rate = 0.05;
    cases[name].optimizer.clip_value = 0.25;
  }
  return cases;
}

const std::map<std::string, SceneOptions> cases = make_cases();

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& [name, options] : cases) names.push_back(name);
  return names;
}

// The worst tensor's norm of the difference over the golden's norm.
double worst_error(const std::string& name, const Scene& scene) {
  const SafetensorsFile goldens =
      SafetensorsFile::open(COLLIE_TESTS_DIR "/goldens/optimizers/optimizers.safetensors").value();
  double worst = 0.0;
  for (std::size_t place = 0; place < scene_parameters.size(); ++place) {
    const std::vector<float> got = scene.whole(place);
    const Tensor golden =
        goldens.tensor(fmt::format("{}/{}", name, scene_parameters[place].name)).value();
    double difference = 0.0, norm = 0.0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double wanted = double{golden.data<float>()[i]};
      difference += (double{got[i]} - wanted) * (double{got[i]} - wanted);
      norm += wanted * wanted;
    }
    worst = std::max(worst, std::sqrt(difference / norm));
  }
  return worst;
}

void require_same_bytes(Scene& a, Scene& b, const std::string& name) {
  for (std::size_t place = 0; place < scene_parameters.size(); ++place) {
    BOOST_CHECK_MESSAGE(a.whole(place) == b.whole(place),
                        name << " " << scene_parameters[place].name);
  }
}

}  // namespace

BOOST_DATA_TEST_CASE(fifty_steps_match_the_reference,
                     data::make(case_names()) * data::make({1, 2, 4}), name, shards) {
  SceneOptions options = cases.at(name);
  options.shards = shards;
  options.gradients_too_large_by = name.find("lomo") == std::string::npos ? 4.0 : 1.0;
  Scene scene(options);
  scene.run(golden_steps);
  const double error = worst_error(name, scene);
  fmt::print("{:20} shards {}: {:.1e}, {} pauses\n", name, shards, error, scene.pauses());
  BOOST_TEST(error <= tolerance);
  BOOST_TEST((scene.pauses() > 0) == (shards > 1 && !scene.optimizer(0).is_elementwise()));
}

BOOST_DATA_TEST_CASE(threads_and_a_bf16_copy_change_nothing, data::make(case_names()), name) {
  SceneOptions options = cases.at(name);
  Scene one(options);
  options.threads = 3;
  options.compute = DType::bf16;
  Scene other(options);
  one.run(7);
  other.run(7);
  require_same_bytes(one, other, name);
  Parameters& parameters = other.shard(0);
  for (std::int64_t i = 0; i < parameters.trainable_elements(); ++i) {
    const BFloat16 wanted(parameters.values().data<float>()[i]);
    if (parameters.computes().data<BFloat16>()[i].bits != wanted.bits) {
      BOOST_ERROR(name << ": copy of element " << i);
    }
  }
}

// Elementwise ones on any slices, the others on whole parameters: together they do what one does.
BOOST_DATA_TEST_CASE(slices_do_together_what_one_does, data::make(case_names()), name) {
  SceneOptions options = cases.at(name);
  Scene whole(options);
  whole.run(5);
  Parameters& layout = whole.shard(0);
  const std::int64_t end = layout.trainable_elements();
  const std::int64_t cut = whole.optimizer(0).is_elementwise() ? 208 : layout.offset(2);
  options.ranges = {{0, 32}, {cut, end}};
  if (!whole.optimizer(0).is_elementwise()) options.ranges[0].end = layout.offset(1);
  const std::vector<StoreRange> mine = options.ranges;
  Scene first(options);
  options.ranges = {{mine[0].end, cut}};
  Scene second(options);
  first.run(5);
  second.run(5);
  const float* wanted = std::as_const(layout.values()).data<float>();
  const float* one = std::as_const(first.shard(0).values()).data<float>();
  const float* two = std::as_const(second.shard(0).values()).data<float>();
  for (std::int64_t i = 0; i < end; ++i) {
    const bool is_first = i < mine[0].end || i >= cut;
    if (wanted[i] != (is_first ? one : two)[i]) BOOST_ERROR(name << ": element " << i);
  }
  // The state is divided too.
  const auto total = [](Scene& scene) {
    std::int64_t count = 0;
    for (const OptimizerState& state : scene.optimizer(0).state()) {
      count += state.values->element_count();
    }
    return count;
  };
  BOOST_TEST(total(first) + total(second) == total(whole));
}

BOOST_DATA_TEST_CASE(bfloat16_states_have_half_the_size_and_stay_near,
                     data::make({"sgd_momentum", "adamw", "lion", "adan", "sophia",
                                 "adafactor_beta1", "muon"}),
                     name) {
  SceneOptions options = cases.at(name);
  options.optimizer.state_dtype = DType::bf16;
  Scene scene(options);
  scene.run(golden_steps);
  BOOST_TEST(worst_error(name, scene) < 5e-2);
  std::size_t narrow = 0;
  for (const OptimizerState& state : scene.optimizer(0).state()) {
    narrow += state.values->dtype() == DType::bf16 ? 1U : 0U;
  }
  BOOST_TEST(narrow > 0U);
  options.optimizer.state_dtype = DType::f32;
  const double bytes = optimizer_bytes_per_parameter(options.optimizer).value();
  options.optimizer.state_dtype = DType::bf16;
  BOOST_TEST(optimizer_bytes_per_parameter(options.optimizer).value() == bytes / 2);
}

// Large copies are stored past the caches (kernels/flat_stores.hpp): of whole vectors, and with a
// rest at the end of the rows.
BOOST_DATA_TEST_CASE(copies_of_large_parameters_are_their_rounded_values,
                     data::make({"sgd", "adamw", "lion", "adan", "sophia", "adafactor", "lomo",
                                 "adalomo"}) *
                         data::make({2080, 2051}),
                     name, cols) {
  ParameterSpec spec;
  spec.name = "layers.0.matrix";
  spec.rows = spec.row_end = 2050;
  spec.cols = spec.col_end = cols;
  Stream stream({.device = {}, .name = "large", .threads = 2, .inline_execution = true});
  Parameters parameters(stream.allocator(), {spec}, DType::bf16, true);
  parameters.initialize(stream, 1);
  float* gradients = parameters.gradients().mutable_data<float>();
  const std::int64_t count = spec.rows * spec.cols;
  for (std::int64_t i = 0; i < count; ++i)
    gradients[i] = static_cast<float>(i % 1001 - 500) * 1e-3F;
  auto optimizer = make_optimizer({.name = name}, parameters, stream.allocator()).value();
  stream.submit([&] {
    Steps steps = optimizer->step(stream, {1, 0.01, 1.0}, parameters);
    run_alone(steps);
  });
  const float* values = parameters.value(0).data<float>();
  const BFloat16* copy = parameters.compute(0).data<BFloat16>();
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < count; ++i) wrong += copy[i].bits != BFloat16(values[i]).bits;
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(groups_change_what_their_patterns_match) {
  SceneOptions options = cases.at("adamw");
  options.optimizer.groups = {{.pattern = "model.layers.*.wide.weight", .lr_scale = 0.0},
                              {.pattern = "layers.?.vector", .weight_decay = 0.5},
                              {.pattern = "*", .beta1 = 0.5}};
  Scene scene(options);
  options.optimizer.groups.clear();
  Scene plain(options);
  scene.run(3);
  plain.run(3);
  const std::vector<double> start = scene_initial(2);
  const std::vector<float> still = scene.whole(2);
  BOOST_CHECK(std::equal(start.begin(), start.end(), still.begin(), still.end()));
  BOOST_CHECK(scene.whole(0) != plain.whole(0));  // another beta1
  options.optimizer.decay_scope = DecayScope::all;
  options.optimizer.weight_decay = 0.5;
  Scene all(options);
  all.run(3);
  BOOST_CHECK(scene.whole(3) == all.whole(3));
  BOOST_CHECK(scene.whole(3) != plain.whole(3));
}

BOOST_AUTO_TEST_CASE(an_unknown_name_is_refused_with_the_nearest) {
  const std::string message = with_defaults({.name = "adamv"}).error().message;
  BOOST_TEST(message.find("adalomo") != std::string::npos);
  BOOST_TEST(message.find("did you mean 'adamw'?") != std::string::npos);
  const auto nesterov = [](double momentum, double dampening) {
    Scene scene(cases.at("sgd"));
    Allocator memory("test");
    return make_optimizer(
               {.name = "sgd", .momentum = momentum, .dampening = dampening, .nesterov = true},
               scene.shard(0), memory)
        .ok();
  };
  BOOST_TEST(nesterov(0.9, 0.0));
  BOOST_TEST(!nesterov(0.0, 0.0));
  BOOST_TEST(!nesterov(0.9, 0.5));
}
