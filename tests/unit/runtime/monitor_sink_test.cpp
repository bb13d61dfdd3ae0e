#define BOOST_TEST_MODULE monitor_sink
#include "runtime/monitor_sink.hpp"

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <limits>

#include "runtime/tensorboard.hpp"
#include "temporary_directory.hpp"

namespace collie {
namespace {

using test::check_error;
using test::TemporaryDirectory;

MetricRecord step_record(std::int64_t step) {
  return {"step", step, 1.0, true, {{"step", step}, {"loss", 0.5}, {"tokens", 64}}};
}

const MetricRecord save_record = {"save", 2, 1.0, false, {{"step", 2}, {"path", "x"}}};

std::string csv_of_steps(std::int64_t first, std::int64_t last) {
  std::string text;
  for (std::int64_t step = first; step <= last; ++step) {
    text += fmt::format("{0},1.000,step,loss,0.5\n{0},1.000,step,tokens,64\n", step);
  }
  return text;
}

constexpr std::string_view csv_header = "step,time_s,event,name,value\n";

BOOST_AUTO_TEST_CASE(csv_holds_the_numbers_of_series) {
  const TemporaryDirectory folder;
  const std::string path = folder.file("m.csv");
  {
    const auto sink = open_csv_sink(path, 1).value();
    BOOST_REQUIRE(sink->write(step_record(1)).ok());
    BOOST_REQUIRE(sink->write(save_record).ok());
    const MetricRecord odd = {"eval,\"x\"",
                              1,
                              2.0,
                              true,
                              {{"a\nb", 0.1 + 0.2},
                               {"text", "no"},
                               {"nan", std::numeric_limits<double>::quiet_NaN()},
                               {"big", UINT64_MAX}}};
    BOOST_REQUIRE(sink->write(odd).ok());
    BOOST_REQUIRE(sink->sync().ok());
  }
  BOOST_TEST(folder.get("m.csv") == std::string(csv_header) + csv_of_steps(1, 1) +
                                        "1,2.000,\"eval,\"\"x\"\"\",\"a b\",0.30000000000000004\n"
                                        "1,2.000,\"eval,\"\"x\"\"\",nan,nan\n"
                                        "1,2.000,\"eval,\"\"x\"\"\",big,18446744073709551615\n");
}

BOOST_AUTO_TEST_CASE(a_resumed_csv_has_no_step_twice) {
  const TemporaryDirectory folder;
  const std::string path = folder.file("m.csv");
  const auto run = [&](std::int64_t first, std::int64_t last) {
    const auto sink = open_csv_sink(path, first).value();
    for (std::int64_t step = first; step <= last; ++step) {
      BOOST_REQUIRE(sink->write(step_record(step)).ok());
    }
  };
  run(1, 9);
  folder.put("m.csv", folder.get("m.csv") + "10,1.0");  // killed while it wrote
  run(5, 12);
  BOOST_TEST(folder.get("m.csv") == std::string(csv_header) + csv_of_steps(1, 12));
  run(13, 14);
  BOOST_TEST(folder.get("m.csv") == std::string(csv_header) + csv_of_steps(1, 14));
  run(1, 2);  // anew
  BOOST_TEST(folder.get("m.csv") == std::string(csv_header) + csv_of_steps(1, 2));
  folder.put("m.csv", "");
  run(1, 2);
  BOOST_TEST(folder.get("m.csv") == std::string(csv_header) + csv_of_steps(1, 2));
}

BOOST_AUTO_TEST_CASE(a_csv_that_is_not_ours_is_left_alone) {
  const TemporaryDirectory folder;
  const std::string path = folder.put("m.csv", "a,b\n1,2\n");
  check_error(open_csv_sink(path, 1), ErrorCode::invalid_file, "move the file away");
  BOOST_TEST(folder.get("m.csv") == "a,b\n1,2\n");
  folder.put("m.csv", std::string(csv_header) + "1,1.0,step,a,1\nx,1.0,step,a,1\n");
  check_error(open_csv_sink(path, 9), ErrorCode::invalid_file, "m.csv:3: does not begin");
}

std::string only_file(const std::string& directory) {
  const std::vector<std::string> names = list_directory(directory).value();
  BOOST_REQUIRE(names.size() == 1U);
  BOOST_TEST(names[0].starts_with("events.out.tfevents.0000000001."));
  return read_file(join_path(directory, names[0]), 1 << 20).value();
}

BOOST_AUTO_TEST_CASE(tensorboard_files_begin_with_the_session) {
  const TemporaryDirectory folder;
  const auto sink = open_tensorboard_sink(folder.path(), 5).value();
  BOOST_REQUIRE(sink->write(step_record(5)).ok());
  BOOST_REQUIRE(sink->write(save_record).ok());
  MetricRecord evaluation = step_record(5);
  evaluation.event = "evaluation";
  evaluation.fields = {{"loss", 0.25}, {"bad", nullptr}};
  BOOST_REQUIRE(sink->write(evaluation).ok());
  BOOST_REQUIRE(sink->sync().ok());
  using namespace tensorboard;
  const std::vector<Scalar> step = {{"train/loss", 0.5}, {"train/tokens", 64.0}};
  const std::vector<Scalar> evaluated = {{"evaluation/loss", 0.25}};
  const std::string text = "```\n{\n  \"step\": 2,\n  \"path\": \"x\"\n}\n```";
  BOOST_TEST(only_file(folder.file("tensorboard")) ==
             framed_record(version_event(1.0)) + framed_record(session_start_event(1.0, 5)) +
                 framed_record(scalars_event(1.0, 5, step)) +
                 framed_record(text_event(1.0, 2, "run/save", text)) +
                 framed_record(scalars_event(1.0, 5, evaluated)));
  // What comes after the end of a run begins another file, which supersedes nothing.
  BOOST_REQUIRE(sink->write(step_record(6)).ok());
  const auto names = list_directory(folder.file("tensorboard")).value();
  BOOST_REQUIRE(names.size() == 2U);
}

BOOST_AUTO_TEST_CASE(errors_stay) {
  if (!std::filesystem::exists("/dev/full")) return;
  const TemporaryDirectory folder;
  std::filesystem::create_symlink("/dev/full", folder.file("m.jsonl"));
  const auto sink = open_json_lines_sink(folder.file("m.jsonl")).value();
  check_error(sink->write(step_record(1)), ErrorCode::io, "m.jsonl");
  check_error(sink->sync(), ErrorCode::io, "m.jsonl");
  folder.put("tensorboard", "");
  check_error(open_tensorboard_sink(folder.path(), 1), ErrorCode::not_found, "tensorboard");
}

}  // namespace
}  // namespace collie
