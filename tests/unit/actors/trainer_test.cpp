// A run that was stopped goes on as if it had not been, on its own grid or on another.
#define BOOST_TEST_MODULE trainer
#include "actors/trainer.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "actors/training_grid.hpp"
#include "runtime/checkpoint_files.hpp"
#include "tests/unit/actors/tiny_trainer.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

TrainingReport report_of(Result<TrainingReport> result) {
  BOOST_REQUIRE_MESSAGE(result.ok(), test::message_of(result));
  return std::move(result).value();
}

// Name and bytes of every file of tensors in a checkpoint.
std::map<std::string, std::string> tensor_files(const std::string& checkpoint) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoint)) {
    if (entry.path().extension() != ".safetensors") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return files;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_resumed_run_ends_like_one_that_was_never_stopped) {
  TinyTrainer tiny;
  const TrainingReport whole = report_of(tiny.train("whole"));
  std::mt19937 random(11);
  for (int trial = 0; trial < 3; ++trial) {
    const std::int64_t stop = 1 + static_cast<std::int64_t>(random() % (tiny_steps - 1));
    const std::string run = fmt::format("stopped{}", trial);
    const TrainingReport stopped = report_of(tiny.train(run, {}, stop));
    BOOST_CHECK(stopped.stopped_early);
    BOOST_CHECK_EQUAL(stopped.steps_done, stop);
    BOOST_CHECK(stopped.parameter_hash != whole.parameter_hash);
    const TrainingReport resumed = report_of(tiny.train(run));
    BOOST_CHECK_EQUAL(resumed.steps_done, tiny_steps);
    BOOST_CHECK_EQUAL(resumed.parameter_hash, whole.parameter_hash);
  }
}

BOOST_AUTO_TEST_CASE(a_run_resumes_on_another_grid) {
  TinyTrainer tiny;
  const TrainingReport whole = report_of(tiny.train("whole", {"grid.pp=1"}));
  const std::vector<std::vector<std::string>> grids{
      {"grid.pp=2"},
      {"grid.pp=1", "grid.dp=2", "train.accumulation=2"},
      {"grid.pp=1", "grid.tp=2"}};
  for (std::size_t i = 0; i < grids.size(); ++i) {
    const std::string run = fmt::format("grid{}", i);
    report_of(tiny.train(run, {"grid.pp=1"}, 5));
    const TrainingReport resumed = report_of(tiny.train(run, grids[i]));
    BOOST_CHECK_SMALL((resumed.final_loss - whole.final_loss) / whole.final_loss, 1e-5);
    if (i == 0) BOOST_CHECK_EQUAL(resumed.parameter_hash, whole.parameter_hash);
  }
}

// Saved at a step, loaded on another grid and saved again at once: the same bytes, state included.
BOOST_AUTO_TEST_CASE(loading_on_another_grid_changes_no_bit) {
  TinyTrainer tiny;
  report_of(tiny.train("first", {"grid.pp=1"}, 5));
  const std::string original = checkpoint_directory(tiny.directory("first"), 5);
  const std::vector<std::vector<std::string>> grids{
      {"grid.pp=2"},
      {"grid.pp=1", "grid.tp=2"},
      {"grid.pp=2", "grid.tp=2"},
      {"grid.pp=1", "grid.dp=2", "train.accumulation=2"}};
  for (std::size_t i = 0; i < grids.size(); ++i) {
    std::vector<std::string> overrides = grids[i];
    overrides.push_back("checkpoint.resume=" + original);
    const std::string run = fmt::format("again{}", i);
    auto grid = TrainingGrid::create(tiny.config(run, overrides), RunKind::train, nullptr);
    BOOST_REQUIRE_MESSAGE(grid.ok(), test::message_of(grid));
    BOOST_CHECK_EQUAL((*grid)->resumed_step(), 5);
    BOOST_REQUIRE(make_directories(tiny.directory(run)).ok());
    const auto copy = (*grid)->save_checkpoint(5);
    BOOST_REQUIRE_MESSAGE(copy.ok(), test::message_of(copy));
    const auto expected = tensor_files(original);
    BOOST_CHECK_EQUAL(expected.size(), 3U);  // parameters and AdamW's two moments
    BOOST_CHECK(tensor_files(*copy) == expected);
  }
}

BOOST_AUTO_TEST_CASE(a_damaged_newest_checkpoint_is_passed_over_with_a_warning) {
  TinyTrainer tiny;
  const TrainingReport whole = report_of(tiny.train("whole"));
  report_of(tiny.train("run", {"checkpoint.every_steps=2"}, 6));
  std::string victim;
  for (const auto& entry :
       std::filesystem::directory_iterator(checkpoint_directory(tiny.directory("run"), 6))) {
    if (entry.path().extension() == ".safetensors") victim = entry.path();
  }
  std::filesystem::resize_file(victim, std::filesystem::file_size(victim) - 1);
  std::atomic<bool> stop{false};
  auto watcher = std::make_shared<Watcher>(stop, 0);
  Result<Trainer> trainer = Trainer::create(tiny.config("run"));
  BOOST_REQUIRE_MESSAGE(trainer.ok(), test::message_of(trainer));
  trainer->add_callback(watcher);
  const TrainingReport resumed = report_of(trainer->run());
  BOOST_CHECK_EQUAL(resumed.parameter_hash, whole.parameter_hash);
  BOOST_REQUIRE_EQUAL(watcher->warnings.size(), 1U);
  BOOST_CHECK(watcher->warnings[0].find("checkpoint-6") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_loss_that_is_not_finite_ends_the_run_and_spares_the_checkpoint) {
  TinyTrainer tiny;
  const auto result = tiny.train("run", {"train.lr=1000", "train.optimizer.weight_decay=1",
                                         "train.warmup_steps=0", "checkpoint.every_steps=1"});
  test::check_error(result, ErrorCode::non_finite, "step ");
  Result<FoundCheckpoint> found = find_latest_checkpoint(tiny.directory("run"));
  BOOST_REQUIRE(found.ok() && found->checkpoint.has_value());
  Result<TensorDirectory> tensors = found->checkpoint->open_tensors("parameters");
  BOOST_REQUIRE(tensors.ok());
  for (const std::string& name : tensors->names()) {
    const Tensor tensor = tensors->tensor(name).value();
    const float* values = tensor.data<float>();
    for (std::int64_t i = 0; i < tensor.element_count(); ++i) {
      BOOST_REQUIRE(std::isfinite(values[i]));
    }
  }
  BOOST_CHECK(!exists(join_path(tiny.directory("run"), "model")));
}

// Steps that overlap, with evaluations and checkpoints between: what is saved is validated.
BOOST_AUTO_TEST_CASE(a_run_with_post_validation_saves_what_one_without_it_saves) {
  TinyTrainer tiny;
  const std::vector<std::string> common{"grid.pp=2",           "grid.schedule=zb-h1",
                                        "train.clip_norm=1.5", "checkpoint.every_steps=4",
                                        "eval.every_steps=3",  "data.validation_fraction=0.2",
                                        "output.trace_steps=3"};
  std::vector<std::string> early = common;
  early.push_back("train.post_validation=true");
  const TrainingReport plain = report_of(tiny.train("plain", common));
  const TrainingReport bypassing = report_of(tiny.train("early", early));
  BOOST_CHECK_EQUAL(bypassing.parameter_hash, plain.parameter_hash);
  BOOST_CHECK_EQUAL(bypassing.validation_loss, plain.validation_loss);
  for (const std::int64_t step : {8, 12}) {
    const auto saved = tensor_files(checkpoint_directory(tiny.directory("early"), step));
    BOOST_CHECK_EQUAL(saved.size(), 3U);
    BOOST_CHECK(saved == tensor_files(checkpoint_directory(tiny.directory("plain"), step)));
  }
  int rollbacks = 0;
  std::ifstream metrics(bypassing.metrics_path);
  for (std::string line; std::getline(metrics, line);) {
    rollbacks += parse_json(line, "metrics").value().value("rollbacks", 0);
  }
  BOOST_CHECK_GT(rollbacks, 0);
  // A step that has been begun when a stop is asked for is done.
  const TrainingReport stopped = report_of(tiny.train("stopped", early, 5));
  BOOST_CHECK_EQUAL(stopped.steps_done, 6);
  BOOST_CHECK_EQUAL(report_of(tiny.train("stopped", early)).parameter_hash, plain.parameter_hash);
}

BOOST_AUTO_TEST_CASE(post_validation_of_an_asynchronous_schedule_is_refused) {
  TinyTrainer tiny;
  test::check_error(tiny.train("run", {"train.post_validation=true", "grid.schedule=pipedream",
                                       "model.fresh.tie_word_embeddings=false"}),
                    ErrorCode::unsupported, "train.post_validation: schedule ");
}
