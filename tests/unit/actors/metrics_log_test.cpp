#define BOOST_TEST_MODULE metrics_log
#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "actors/metrics_log.hpp"
#include "models/traits.hpp"
#include "runtime/file.hpp"

using namespace collie;

namespace {

struct Folder {
  std::string path;
  Folder() {
    path = (std::filesystem::temp_directory_path() / ("collie_metrics_" + std::to_string(getpid())))
               .string();
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }

  RunConfig config() const {
    RunConfig config;
    config.output.directory = path;
    return config;
  }
};

std::vector<Json> lines_of(const std::string& path) {
  const std::string text = read_file(path, 1 << 20).value();
  std::vector<Json> lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find('\n', begin);
    BOOST_REQUIRE(end != std::string::npos);
    lines.push_back(parse_json(text.substr(begin, end - begin), "line").value());
    begin = end + 1;
  }
  return lines;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_event_is_one_line_that_reads_back) {
  const Folder folder;
  const std::string path = folder.path + "/metrics.jsonl";
  {
    RunConfig config = folder.config();
    config.name = "a \"quoted\"\nname";
    auto log = MetricsLog::open(config, 1).value();
    ModelTraits traits;
    traits.family = "llama";
    RunInfo info{config, traits};
    info.total_steps = 3;
    log->on_start(info);
    StepEvent step;
    step.step = 1;
    step.loss = 0.1 + 0.2;
    step.learning_rate = 1.0 / 3.0;
    log->on_step(step);
    log->on_evaluation({.step = 1, .loss = 2.5, .perplexity = 12.18});
    log->on_save({1, "runs/x/checkpoint-1", false, 0.5});
    TrainingReport report;
    report.parameter_hash = 0xfedcba9876543210U;
    log->on_end(report);
    BOOST_TEST(log->status().ok());
  }
  const std::vector<Json> lines = lines_of(path);
  BOOST_REQUIRE(lines.size() == 5U);
  BOOST_TEST(lines[0]["name"].get<std::string>() == "a \"quoted\"\nname");
  BOOST_TEST(lines[1]["event"].get<std::string>() == "step");
  BOOST_TEST(lines[1]["loss"].get<double>() == 0.1 + 0.2);
  BOOST_TEST(lines[1]["learning_rate"].get<double>() == 1.0 / 3.0);
  BOOST_TEST(lines[2]["perplexity"].get<double>() == 12.18);
  BOOST_TEST(lines[3]["kind"].get<std::string>() == "checkpoint");
  // As text: JSON numbers lose bits above 2^53 in many readers.
  BOOST_TEST(lines[4]["parameter_hash"].get<std::string>() == "fedcba9876543210");
}

BOOST_AUTO_TEST_CASE(a_resumed_run_appends) {
  const Folder folder;
  RunConfig config = folder.config();
  config.output.monitors = {"csv", "tensorboard"};
  StepEvent step;
  for (std::int64_t session = 1; session <= 2; ++session) {
    auto log = MetricsLog::open(config, 1).value();
    step.step = session;
    log->on_step(step);
    log->on_end({});
    BOOST_TEST(log->status().ok());
  }
  BOOST_TEST(lines_of(folder.path + "/metrics.jsonl").size() == 4U);
  const std::string csv = read_file(folder.path + "/metrics.csv", 1 << 20).value();
  BOOST_TEST(csv.find("\n1,") == std::string::npos);  // the second session began with step 1
  BOOST_TEST(csv.find("\n2,") != std::string::npos);
  BOOST_TEST(list_directory(folder.path + "/tensorboard").value().size() == 2U);
}

BOOST_AUTO_TEST_CASE(steps_tell_of_the_machine_and_of_each_device) {
  const Folder folder;
  RunConfig config = folder.config();
  config.grid.dp = 2;
  config.grid.pp = 4;
  StepEvent step;
  step.tokens_per_s = 800.0;
  MetricsLog::open(config, 1).value()->on_step(step);
  const Json line = lines_of(folder.path + "/metrics.jsonl").front();
  BOOST_TEST(line["tokens_per_s_per_device"].get<double>() == 100.0);
  BOOST_TEST(!line.contains("bubble_mean"));  // nothing was measured
  BOOST_TEST(line["host_resident_bytes"].get<std::int64_t>() > 1'000'000);
  BOOST_TEST(!std::filesystem::exists(folder.path + "/metrics.csv"));
  BOOST_TEST(!std::filesystem::exists(folder.path + "/tensorboard"));
}

BOOST_AUTO_TEST_CASE(steps_tell_how_ranks_were_used) {
  const Folder folder;
  RunConfig config = folder.config();
  config.output.monitors = {"csv"};
  StepEvent step;
  step.step = 1;
  step.ranks = {0.25, 0.5, 3.5, 6, 2};
  MetricsLog::open(config, 1).value()->on_step(step);
  const Json line = lines_of(folder.path + "/metrics.jsonl").front();
  BOOST_TEST(line["bubble_mean"].get<double>() == 0.25);
  BOOST_TEST(line["bubble_max"].get<double>() == 0.5);
  BOOST_TEST(line["mailbox_depth_mean"].get<double>() == 3.5);
  BOOST_TEST(line["mailbox_depth_max"].get<int>() == 6);
  const std::string csv = read_file(folder.path + "/metrics.csv", 1 << 20).value();
  for (const char* row : {"bubble_mean,0.25\n", "bubble_max,0.5\n", "mailbox_depth_mean,3.5\n",
                          "mailbox_depth_max,6"}) {
    BOOST_TEST(csv.find(row) != std::string::npos, row);
  }
}

BOOST_AUTO_TEST_CASE(an_unknown_interface_is_refused_before_anything_is_written) {
  const Folder folder;
  RunConfig config = folder.config();
  config.output.network_interface = "no such interface";
  const auto opened = MetricsLog::open(config, 1);
  BOOST_REQUIRE(!opened.ok());
  BOOST_TEST(opened.error().message.find("output.network_interface") != std::string::npos);
  BOOST_TEST(!MetricsLog::check(config).ok());
  BOOST_TEST(std::filesystem::is_empty(folder.path));
}

BOOST_AUTO_TEST_CASE(numbers_that_are_none_become_null) {
  const Folder folder;
  StepEvent step;
  step.loss = std::numeric_limits<double>::quiet_NaN();
  MetricsLog::open(folder.config(), 1).value()->on_step(step);
  BOOST_TEST(lines_of(folder.path + "/metrics.jsonl").front()["loss"].is_null());
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_told) {
  if (!std::filesystem::exists("/dev/full")) return;
  const Folder folder;
  std::filesystem::create_symlink("/dev/full", folder.path + "/metrics.jsonl");
  auto opened = MetricsLog::open(folder.config(), 1);
  BOOST_REQUIRE(opened.ok());
  opened.value()->on_step({});
  BOOST_REQUIRE(!opened.value()->status().ok());
  BOOST_TEST(opened.value()->status().error().message.find("metrics.jsonl") != std::string::npos);
}
