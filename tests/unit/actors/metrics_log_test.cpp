#define BOOST_TEST_MODULE metrics_log
#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "actors/metrics_log.hpp"
#include "models/traits.hpp"

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
    auto log = MetricsLog::open(path, LineMode::append).value();
    RunConfig config;
    config.name = "a \"quoted\"\nname";
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
  const std::string path = folder.path + "/metrics.jsonl";
  StepEvent step;
  for (std::int64_t session = 1; session <= 2; ++session) {
    auto log = MetricsLog::open(path, LineMode::append).value();
    step.step = session;
    log->on_step(step);
  }
  BOOST_TEST(lines_of(path).size() == 2U);
  MetricsLog::open(path, LineMode::replace).value()->on_step(step);
  BOOST_TEST(lines_of(path).size() == 1U);
}

BOOST_AUTO_TEST_CASE(numbers_that_are_none_become_null) {
  const Folder folder;
  const std::string path = folder.path + "/metrics.jsonl";
  StepEvent step;
  step.loss = std::numeric_limits<double>::quiet_NaN();
  MetricsLog::open(path, LineMode::append).value()->on_step(step);
  BOOST_TEST(lines_of(path).front()["loss"].is_null());
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_told) {
  if (!std::filesystem::exists("/dev/full")) return;
  auto opened = MetricsLog::open("/dev/full", LineMode::append);
  if (!opened.ok()) {
    BOOST_TEST(opened.error().message.find("/dev/full") != std::string::npos);
    return;
  }
  opened.value()->on_step({});
  BOOST_TEST(!opened.value()->status().ok());
}
