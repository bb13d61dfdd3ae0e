// Runs whose replicas share what they hold: they save what others save, go on with any number of
// replicas, take the memory that was planned, and refuse what does not go together.
#define BOOST_TEST_MODULE zero_run
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <map>

#include "actors/plan.hpp"
#include "actors/training_grid.hpp"
#include "runtime/checkpoint_files.hpp"
#include "tests/unit/actors/measured_grid.hpp"
#include "tests/unit/actors/tiny_trainer.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

using Overrides = std::vector<std::string>;

Overrides with_zero(Overrides overrides, int zero) {
  overrides.push_back(fmt::format("train.zero={}", zero));
  return overrides;
}

TrainingReport report_of(Result<TrainingReport> result) {
  BOOST_REQUIRE_MESSAGE(result.ok(), test::message_of(result));
  return std::move(result).value();
}

// Name and bytes of every file of tensors.
std::map<std::string, std::string> tensor_files(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() != ".safetensors") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
  }
  BOOST_REQUIRE(!files.empty());
  return files;
}

const Overrides two_replicas = {"grid.dp=2", "train.accumulation=2", "checkpoint.every_steps=6"};

}  // namespace

// With one stage and micro-batch, and untied embeddings, all levels have the same bits; here the
// levels that share gradients have others than those that do not.
BOOST_AUTO_TEST_CASE(a_run_saves_what_one_without_zero_saves) {
  TinyTrainer tiny;
  for (const char* optimizer : {"adamw", "adafactor"}) {
    const std::string name = std::string("train.optimizer.name=") + optimizer;
    std::vector<std::map<std::string, std::string>> checkpoints, models;
    for (int zero = 0; zero <= 3; ++zero) {
      Overrides overrides = with_zero(two_replicas, zero);
      overrides.push_back(name);
      const std::string run = fmt::format("{}{}", optimizer, zero);
      report_of(tiny.train(run, overrides));
      checkpoints.push_back(tensor_files(checkpoint_directory(tiny.directory(run), 6)));
      models.push_back(tensor_files(tiny.directory(run) + "/model"));
    }
    BOOST_TEST((checkpoints[1] == checkpoints[0]));
    BOOST_TEST((models[1] == models[0]));
    BOOST_TEST((checkpoints[3] == checkpoints[2]));
    BOOST_TEST((models[3] == models[2]));
    BOOST_TEST((models[2] != models[0]));
    for (const auto& [file, bytes] : checkpoints[0]) {
      BOOST_TEST(checkpoints[2].at(file).size() == bytes.size());
    }
  }
}

BOOST_AUTO_TEST_CASE(loading_at_another_level_or_grid_changes_no_bit) {
  TinyTrainer tiny;
  report_of(tiny.train("first", with_zero(two_replicas, 3), 6));
  const std::string original = checkpoint_directory(tiny.directory("first"), 6);
  const std::vector<Overrides> grids = {{"grid.pp=1"},
                                        {"grid.dp=2", "train.zero=1"},
                                        {"grid.dp=3", "train.zero=2"},
                                        {"grid.pp=1", "grid.dp=3", "train.zero=3"},
                                        {"grid.dp=2", "grid.tp=2", "train.zero=3"}};
  for (std::size_t i = 0; i < grids.size(); ++i) {
    Overrides overrides = grids[i];
    overrides.push_back("checkpoint.resume=" + original);
    const std::string run = fmt::format("again{}", i);
    auto grid = TrainingGrid::create(tiny.config(run, overrides), RunKind::train, nullptr);
    BOOST_REQUIRE_MESSAGE(grid.ok(), test::message_of(grid));
    BOOST_REQUIRE(make_directories(tiny.directory(run)).ok());
    const auto copy = (*grid)->save_checkpoint(6);
    BOOST_REQUIRE_MESSAGE(copy.ok(), test::message_of(copy));
    BOOST_TEST((tensor_files(*copy) == tensor_files(original)));
  }
}

BOOST_AUTO_TEST_CASE(a_stopped_run_ends_like_one_that_was_not) {
  TinyTrainer tiny;
  for (int zero = 1; zero <= 3; ++zero) {
    const Overrides overrides = with_zero({"grid.dp=2"}, zero);
    const TrainingReport whole = report_of(tiny.train(fmt::format("whole{}", zero), overrides));
    const std::string run = fmt::format("run{}", zero);
    report_of(tiny.train(run, overrides, 5));
    const TrainingReport resumed = report_of(tiny.train(run, overrides));
    BOOST_TEST(resumed.parameter_hash == whole.parameter_hash);
  }
}

// Frozen weights are shared too; the adapter is what the shares of all replicas make together.
BOOST_AUTO_TEST_CASE(a_tuned_run_saves_the_same_adapter) {
  TinyTrainer tiny;
  const Overrides lora = {"grid.dp=2",          "grid.pp=1",     "train.accumulation=1",
                          "tuning.method=lora", "tuning.rank=2", "tuning.dora=true"};
  std::vector<std::map<std::string, std::string>> adapters, bases;
  for (int zero = 0; zero <= 3; ++zero) {
    const std::string run = fmt::format("lora{}", zero);
    report_of(tiny.train(run, with_zero(lora, zero)));
    adapters.push_back(tensor_files(tiny.directory(run) + "/adapter"));
    bases.push_back(tensor_files(tiny.directory(run) + "/base"));
  }
  for (std::size_t zero = 1; zero <= 3; ++zero) {
    BOOST_TEST((adapters[zero] == adapters[0]), "level " << zero);
    BOOST_TEST((bases[zero] == bases[0]), "level " << zero);
  }
}

// Of the largest replica. What a replica shares is 16 bytes a parameter with AdamW; activations and
// buffers are what they were, but for the gradients of one segment from level 2 on.
BOOST_AUTO_TEST_CASE(replicas_take_what_was_planned_and_less_at_each_level) {
  const Overrides grid = {"grid.dp=4", "grid.threads=1", "train.accumulation=1",
                          "train.micro_batch_size=1"};
  std::vector<std::size_t> held, peaks;
  for (int zero = 0; zero <= 3; ++zero) {
    const RunConfig config = proportioned_config(with_zero(grid, zero));
    const Plan plan = make_plan(config).value();
    MeasuredGrid measured(config);
    std::size_t parameters = 0, most = 0;
    for (int replica = 0; replica < 4; ++replica) {
      parameters = std::max(parameters, measured.memory_of(replica).live_bytes);
    }
    measured.train(3);
    for (int replica = 0; replica < 4; ++replica) {
      most = std::max(most, measured.memory_of(replica).peak_bytes);
    }
    fmt::print("level {}: {} bytes of parameters, planned peak {}, measured {}\n", zero, parameters,
               plan.shards[0].peak_bytes, most);
    const double ratio = static_cast<double>(plan.shards[0].peak_bytes) / static_cast<double>(most);
    BOOST_TEST(ratio > 0.9);
    BOOST_TEST(ratio < 1.1);
    held.push_back(plan.shards[0].parameter_bytes);
    peaks.push_back(most);
  }
  for (std::size_t zero = 1; zero <= 3; ++zero) {
    BOOST_TEST(held[zero] < held[zero - 1]);
    BOOST_TEST(peaks[zero] < peaks[zero - 1]);
  }
  // Whole parameters: the embedding alone is 22 % of this model.
  BOOST_TEST(static_cast<double>(held[3]) < 0.27 * static_cast<double>(held[0]));
}

// Rooms for the present segment and the next ones are planned and taken.
BOOST_AUTO_TEST_CASE(copies_of_values_take_what_was_planned) {
  const Overrides grid = {
      "grid.dp=2",    "grid.threads=1",        "train.accumulation=1", "train.micro_batch_size=1",
      "train.zero=3", "train.zero_copies=true"};
  std::vector<std::size_t> peaks;
  for (const int prefetch : {0, 2}) {
    Overrides overrides = grid;
    overrides.push_back(fmt::format("train.zero_prefetch={}", prefetch));
    const RunConfig config = proportioned_config(overrides);
    const Plan plan = make_plan(config).value();
    MeasuredGrid measured(config);
    measured.train(3);
    const std::size_t most =
        std::max(measured.memory_of(0).peak_bytes, measured.memory_of(1).peak_bytes);
    const double ratio = static_cast<double>(plan.shards[0].peak_bytes) / static_cast<double>(most);
    fmt::print("prefetch {}: planned {}, measured {}\n", prefetch, plan.shards[0].peak_bytes, most);
    BOOST_TEST(ratio > 0.9);
    BOOST_TEST(ratio < 1.1);
    peaks.push_back(plan.shards[0].peak_bytes);
  }
  BOOST_TEST(peaks[1] > peaks[0]);
}

BOOST_AUTO_TEST_CASE(what_does_not_go_together_is_refused_in_a_line) {
  const auto refusal = [](const Overrides& overrides) {
    const Result<ModelSetup> setup = set_up_model(proportioned_config(overrides));
    BOOST_REQUIRE(!setup.ok());
    BOOST_TEST(setup.error().message.find('\n') == std::string::npos);
    return setup.error().message;
  };
  const auto mentions = [](const std::string& text, const char* part) {
    BOOST_TEST(text.find(part) != std::string::npos, text);
  };
  mentions(refusal({"train.zero=1", "grid.pp=2", "grid.schedule=pipedream"}), "asynchronous");
  mentions(refusal({"train.zero=1", "train.post_validation=true"}), "train.post_validation");
  mentions(refusal({"train.zero=2", "grid.pp=2", "grid.schedule=dualpipe"}), "one order");
  mentions(refusal({"train.zero=3", "tuning.method=lora", "tuning.save_merged=true"}), "merged");
  mentions(refusal({"train.zero=3", "tuning.method=p_tuning"}), "virtual tokens");
  mentions(refusal({"train.post_validation=true", "grid.tp=2", "train.optimizer.name=muon"}),
           "tensor shards");
}

// What LOMO does by default, it leaves where replicas are to share; asked for both, it refuses.
BOOST_AUTO_TEST_CASE(an_update_within_the_backward_shares_nothing) {
  const Overrides both = {"grid.dp=2", "train.zero=1", "train.optimizer.name=lomo"};
  const RunConfig config = proportioned_config(both);
  const ModelSetup setup = set_up_model(config).value();
  BOOST_TEST((choose_update_in_backward(config, setup).value() == UpdateInBackward::no));
  Overrides asked = both;
  asked.push_back("train.optimizer.in_backward=true");
  const auto refused = choose_update_in_backward(proportioned_config(asked), setup);
  BOOST_REQUIRE(!refused.ok());
  BOOST_TEST(refused.error().message.find("train.zero") != std::string::npos);
}
