// trace.jsonl: what is written comes back; what is damaged is named.
#define BOOST_TEST_MODULE run_trace
#include "actors/run_trace.hpp"

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>

#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;

namespace {

struct Folder {
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("collie_run_trace_" + std::to_string(getpid()));
  std::string file() const { return (path / "trace.jsonl").string(); }
};

Trace trace_of(const Schedule& schedule, double start) {
  Trace trace(schedule.programs.size());
  for (std::size_t rank = 0; rank < trace.size(); ++rank) {
    for (std::size_t at = 0; at < schedule.programs[rank].size(); ++at) {
      const double begin = start + static_cast<double>(at) / 3.0;
      trace[rank].push_back(
          {schedule.programs[rank][at], static_cast<int>(at), begin, begin + 0.1});
    }
  }
  return trace;
}

void write(const Folder& folder, const Schedule& schedule) {
  RunTraceWriter writer = RunTraceWriter::create(folder.file(), schedule).value();
  BOOST_REQUIRE(writer.append(2, trace_of(schedule, 1.0)).ok());
  BOOST_REQUIRE(writer.append(3, trace_of(schedule, 5.0)).ok());
}

std::string refusal(const Folder& folder) {
  const auto read = read_run_trace(folder.file());
  return read ? "" : read.error().message;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_is_written_comes_back) {
  for (const char* name : {"1f1b", "zbv", "chimera", "pipedream"}) {
    BOOST_TEST_CONTEXT(name) {
      const Folder folder;
      const Schedule schedule = generated(name, 2, 4);
      write(folder, schedule);
      const auto read = read_run_trace(folder.path.string());
      BOOST_REQUIRE_MESSAGE(read.ok(), (read.ok() ? "" : read.error().message));
      BOOST_TEST((read->schedule == schedule));
      BOOST_REQUIRE_EQUAL(read->steps.size(), 2U);
      const Trace wanted = trace_of(schedule, 5.0);
      for (std::size_t rank = 0; rank < wanted.size(); ++rank) {
        BOOST_REQUIRE_EQUAL(read->steps[1][rank].size(), wanted[rank].size());
        for (std::size_t at = 0; at < wanted[rank].size(); ++at) {
          BOOST_TEST((read->steps[1][rank][at].action == wanted[rank][at].action));
          BOOST_TEST(read->steps[1][rank][at].begin_s == wanted[rank][at].begin_s);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_step_that_a_killed_run_left_unfinished_is_left_out) {
  const Folder folder;
  write(folder, generated("1f1b", 2, 4));
  std::filesystem::resize_file(folder.file(), std::filesystem::file_size(folder.file()) - 90);
  const auto read = read_run_trace(folder.file());
  BOOST_REQUIRE_MESSAGE(read.ok(), (read.ok() ? "" : read.error().message));
  BOOST_REQUIRE_EQUAL(read->steps.size(), 1U);
  BOOST_TEST(read->steps[0][0][0].begin_s == 1.0);
  std::filesystem::resize_file(folder.file(), 10);
  BOOST_TEST(refusal(folder).find("does not say which schedule") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(damaged_lines_are_named) {
  const Folder folder;
  write(folder, generated("1f1b", 2, 4));
  std::ofstream(folder.file(), std::ios::app) << R"({"step": 4, "rank": 9, "action": "0F0", )"
                                              << R"("begin_s": 0, "end_s": 1})" << '\n';
  BOOST_TEST(refusal(folder).find("a rank that the schedule lacks") != std::string::npos);
  write(folder, generated("1f1b", 2, 4));
  std::ofstream(folder.file(), std::ios::app) << R"({"step": 4, "rank": 0, "action": "0B0", )"
                                              << R"("begin_s": 0, "end_s": 1})" << '\n';
  BOOST_TEST(refusal(folder).find("is not 0F0, which the program has there") != std::string::npos);
  std::ofstream(folder.file()) << R"({"step": 4})" << '\n';
  BOOST_TEST(refusal(folder).find("does not say which schedule") != std::string::npos);
  std::ofstream(folder.file()) << "";
  BOOST_TEST(refusal(folder).find("is empty") != std::string::npos);
}
