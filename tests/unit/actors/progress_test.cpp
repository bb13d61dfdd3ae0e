#define BOOST_TEST_MODULE progress
#include <boost/test/unit_test.hpp>

#include <cstdio>
#include <string>

#include "actors/progress.hpp"
#include "models/traits.hpp"

using namespace collie;

namespace {

// Columns of text that is ASCII, bar characters (three bytes each) and colour sequences.
int columns_of(const std::string& text) {
  int columns = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      while (text[i] != 'm') ++i;
    } else if ((static_cast<unsigned char>(text[i]) & 0xc0U) != 0x80U) {
      ++columns;
    }
  }
  return columns;
}

StepEvent sample_step(std::int64_t step, std::int64_t total) {
  StepEvent event;
  event.step = step;
  event.total_steps = total;
  event.loss = 4.21304;
  event.learning_rate = 2.94e-4;
  event.gradient_norm = 0.8312;
  event.tokens_per_s = 12345.0;
  event.mfu = 0.612;
  event.peak_bytes = std::size_t{812} << 20;
  event.seconds = 0.5;
  return event;
}

// What the callback writes into a file.
template <class Use>
std::string written(ProgressOptions options, Use use) {
  std::FILE* file = std::tmpfile();
  BOOST_REQUIRE(file != nullptr);
  options.out = file;
  {
    Progress progress(options);
    use(progress);
  }
  BOOST_REQUIRE_EQUAL(std::fseek(file, 0, SEEK_SET), 0);
  std::string text(1 << 16, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

}  // namespace

BOOST_AUTO_TEST_CASE(durations) {
  BOOST_TEST(format_duration(0.0) == "0ms");
  BOOST_TEST(format_duration(0.0994) == "99ms");
  BOOST_TEST(format_duration(0.0996) == "0.1s");
  BOOST_TEST(format_duration(0.44) == "0.4s");
  BOOST_TEST(format_duration(9.94) == "9.9s");
  BOOST_TEST(format_duration(9.96) == "10s");
  BOOST_TEST(format_duration(59.6) == "1m00s");
  BOOST_TEST(format_duration(187.0) == "3m07s");
  BOOST_TEST(format_duration(3599.7) == "1h00m");
  BOOST_TEST(format_duration(3725.0) == "1h02m");
  BOOST_TEST(format_duration(86400.0 * 2 + 3 * 3600) == "2d03h");
  BOOST_TEST(format_duration(-1.0) == "?");
  BOOST_TEST(format_duration(std::numeric_limits<double>::quiet_NaN()) == "?");
  BOOST_TEST(format_duration(std::numeric_limits<double>::infinity()) == "?");
}

BOOST_AUTO_TEST_CASE(bytes_and_counts) {
  BOOST_TEST(format_bytes(0) == "0 B");
  BOOST_TEST(format_bytes(1023) == "1023 B");
  BOOST_TEST(format_bytes(1024) == "1.0 KiB");
  BOOST_TEST(format_bytes((std::size_t{1} << 20) - 1) == "1.0 MiB");
  BOOST_TEST(format_bytes(std::size_t{812} << 20) == "812 MiB");
  BOOST_TEST(format_bytes(std::size_t{3} << 29) == "1.5 GiB");
  BOOST_TEST(format_count(0.0) == "0");
  BOOST_TEST(format_count(999.0) == "999");
  BOOST_TEST(format_count(999.7) == "1.0k");
  BOOST_TEST(format_count(12345.0) == "12.3k");
  BOOST_TEST(format_count(4.2e6) == "4.2M");
  BOOST_TEST(format_count(7e9) == "7.0B");
  BOOST_TEST(format_learning_rate(0.0) == "0");
  BOOST_TEST(format_learning_rate(3e-4) == "3.0e-04");
}

BOOST_AUTO_TEST_CASE(bars_fill_their_cells) {
  BOOST_TEST(progress_bar(0.0, 10, false) == "[........]");
  BOOST_TEST(progress_bar(0.5, 10, false) == "[####....]");
  BOOST_TEST(progress_bar(1.0, 10, false) == "[########]");
  BOOST_TEST(progress_bar(2.0, 10, false) == "[########]");
  BOOST_TEST(progress_bar(-1.0, 4, true) == "────");
  BOOST_TEST(progress_bar(0.5, 4, true) == "━━──");
  BOOST_TEST(progress_bar(0.625, 4, true) == "━━╸─");
  BOOST_TEST(progress_bar(1.0, 4, true) == "━━━━");
  for (int cells = 0; cells < 60; ++cells) {
    for (const bool utf8 : {false, true}) {
      BOOST_TEST(columns_of(progress_bar(0.37, cells, utf8)) == cells);
    }
  }
}

BOOST_AUTO_TEST_CASE(line_fits_every_terminal) {
  for (int columns = 0; columns < 240; ++columns) {
    for (const bool utf8 : {false, true}) {
      for (const std::int64_t step : {0, 1, 57, 400}) {
        const StepEvent event = sample_step(step, 400);
        const LineStyle style{columns, utf8, utf8};
        BOOST_TEST(columns_of(progress_line(event, 102.0, style)) <= std::max(columns - 1, 0));
      }
    }
  }
  BOOST_TEST(progress_line(sample_step(57, 400), 102.0, {7, false, false}).empty());
  BOOST_TEST(progress_line(sample_step(57, 400), 102.0, {8, false, false}) == " 57/400");
}

BOOST_AUTO_TEST_CASE(line_drops_the_least_important_first) {
  const StepEvent step = sample_step(200, 400);
  BOOST_TEST(progress_line(step, 102.0, {22, false, false}) == "200/400  loss 4.2130");
  BOOST_TEST(progress_line(step, 102.0, {34, false, false}) == "200/400  loss 4.2130  1m42s left");
  BOOST_TEST(progress_line(step, 102.0, {60, false, false}) ==
             "200/400  [#####.....]  loss 4.2130  12.3k tok/s  1m42s left");
  BOOST_TEST(progress_line(step, 102.0, {150, false, false}) ==
             "200/400  [###################...................]  loss 4.2130  lr 2.9e-04  "
             "grad norm 0.831  12.3k tok/s  MFU 61.2%  812 MiB  1m42s left");
}

BOOST_AUTO_TEST_CASE(log_line_has_everything) {
  BOOST_TEST(step_log_line(sample_step(20, 400), -1.0) ==
             "step  20/400  loss 4.2130  lr 2.9e-04  grad norm 0.831  12.3k tok/s  MFU 61.2%  "
             "812 MiB  ? left");
  BOOST_TEST(step_log_line(sample_step(1, 1), 0.0).find("left") == std::string::npos);
  BOOST_TEST(progress_line(sample_step(0, 0), 0.0, {80, false, false}).starts_with("0/0"));
}

BOOST_AUTO_TEST_CASE(locales) {
  BOOST_TEST(is_utf8_locale("", "", "en_US.UTF-8"));
  BOOST_TEST(is_utf8_locale("", "C.utf8", "C"));
  BOOST_TEST(!is_utf8_locale("C", "en_US.UTF-8", "en_US.UTF-8"));
  BOOST_TEST(!is_utf8_locale("", "", ""));
}

BOOST_AUTO_TEST_CASE(log_lines_come_every_so_many_steps_and_at_the_end) {
  ProgressOptions options;
  options.log_every_steps = 10;
  const std::string text = written(options, [](Progress& progress) {
    for (std::int64_t step = 1; step <= 25; ++step) progress.on_step(sample_step(step, 25));
  });
  BOOST_TEST(count_of(text, "\n") == 3U);
  BOOST_TEST(count_of(text, "step 10/25") == 1U);
  BOOST_TEST(count_of(text, "step 25/25") == 1U);
  BOOST_TEST(text.find('\x1b') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(terminal_redraws_one_line) {
  ProgressOptions options;
  options.terminal = true;
  options.columns = 60;
  const std::string text = written(options, [](Progress& progress) {
    progress.on_step(sample_step(1, 3));
    progress.on_evaluation(
        {.step = 1, .loss = 4.5, .perplexity = 90.02, .valid_tokens = 5000, .seconds = 1.25});
    progress.on_step(sample_step(3, 3));
    TrainingReport report;
    report.steps_done = 3;
    report.final_loss = 4.2;
    report.perplexity = 90.0;
    report.validation_loss = 4.5;
    report.model_directory = "runs/x/model";
    progress.on_end(report);
  });
  BOOST_TEST(count_of(text, "\r\x1b[K") == 3U);  // two drawings, one clearing for the evaluation
  // The evaluation, the last drawing, and three lines of summary.
  BOOST_TEST(count_of(text, "\n") == 5U);
  BOOST_TEST(text.find("\r\x1b[Kstep 1: validation loss 4.5000, perplexity 90.02 (5.0k tokens") !=
             std::string::npos);
  BOOST_TEST(text.ends_with("model       runs/x/model\n"));
}

BOOST_AUTO_TEST_CASE(a_stopped_run_says_how_to_go_on) {
  TrainingReport report;
  report.steps_done = 7;
  report.stopped_early = true;
  report.final_loss = 3.25;
  const auto lines = summary_lines(report, 20);
  BOOST_TEST(lines.front() == "stopped after step 7 of 20; the same command goes on from there");
  BOOST_TEST(lines.size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_run_that_was_complete_says_so) {
  TrainingReport report;
  report.steps_done = 20;
  report.perplexity = 12.5;
  report.validation_loss = 2.5257;
  const auto lines = summary_lines(report, 20);
  BOOST_TEST(lines[0] == "nothing left to train: all 20 steps are done");
  BOOST_TEST(lines[1] == "validation  loss 2.5257, perplexity 12.50");
}
