#define BOOST_TEST_MODULE schedule_views
#include <boost/test/unit_test.hpp>
#include <regex>

#include "actors/schedule/views/chrome_trace.hpp"
#include "actors/schedule/views/compare.hpp"
#include "actors/schedule/views/html.hpp"
#include "actors/schedule/views/palette.hpp"
#include "actors/schedule/views/svg.hpp"
#include "actors/schedule/views/terminal.hpp"
#include "runtime/file.hpp"
#include "runtime/json.hpp"
#include "tests/unit/actors/schedule/generated.hpp"

namespace collie {
namespace {

// Two ranks, two micro-batches, F takes 1 and B takes 2; written out by hand:
//   rank 0: F0 F1 . B0 B0 . . B1 B1   (B0 waits until 1B0 ends at 4)
// kept here as times, so that the views are tested without the simulator.
struct Drawn {
  Schedule schedule = generated("1f1b", 2, 2);
  Simulation simulation;
  Drawn() {
    const auto timed = [](double begin, double end, IdleCause idle = IdleCause::none,
                          ActionPlace blamed = {}) {
      return TimedAction{.begin = begin, .end = end, .idle = idle, .blamed = blamed};
    };
    simulation.actions = {
        {timed(0, 1), timed(1, 2), timed(4, 6, IdleCause::dependency, {1, 1}),
         timed(7, 9, IdleCause::communication, {1, 3}), timed(9, 9)},
        {timed(1, 2, IdleCause::fill, {0, 0}), timed(2, 4), timed(4, 5), timed(5, 7), timed(7, 7)}};
    simulation.makespan = 9.0;
    simulation.span = {9.0, 6.0};
    simulation.busy = {6.0, 6.0};
    simulation.peak_memory = {2.0, 1.0};
    simulation.memory = {{{.time = 0.0, .bytes = {1.0}}, {.time = 1.0, .bytes = {2.0}}},
                         {{.time = 1.0, .bytes = {1.0}}}};
  }
  Picture picture(std::string title = "drawn") const {
    return {.title = std::move(title), .schedule = &schedule, .simulation = &simulation};
  }
};

std::string part_between(const std::string& text, const std::string& begin,
                         const std::string& end) {
  const std::size_t from = text.find(begin) + begin.size();
  return text.substr(from, text.find(end, from) - from);
}

BOOST_AUTO_TEST_CASE(terminal_draws_what_was_timed) {
  const Drawn drawn;
  const std::string text = terminal_timeline(drawn.picture(), {.width = 36}).value();
  const std::string expected =
      "time     |0          |4          |8\n"
      "rank 0   F0-F1-......B0----...B1----\n"
      "rank 1   ...F0-B0----F1-B1----......\n"
      "F forward   B backward (I and W)   S STEP   . idle\n";
  BOOST_TEST(text == expected);
}

BOOST_AUTO_TEST_CASE(terminal_windows) {
  const Drawn drawn;
  const Picture picture = drawn.picture();
  const std::string window = terminal_timeline(picture, {.width = 36, .from = 4, .to = 9}).value();
  BOOST_TEST(window.find("rank 0   B0--------.....B1--------") != std::string::npos, window);
  const auto refused = terminal_timeline(picture, {.from = 9});
  BOOST_REQUIRE(!refused.ok());
  BOOST_TEST(refused.error().message.find("0 to 9") != std::string::npos);
  // Narrower than the units: a note says what a column is.
  Drawn wide;
  wide.simulation.makespan = 9000.0;
  const std::string shrunk = terminal_timeline(wide.picture(), {.width = 40}).value();
  BOOST_TEST(shrunk.find("--from") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(terminal_colours_end_where_they_began) {
  const std::string text = terminal_timeline(Drawn().picture(), {.colour = true}).value();
  const std::regex any("\x1b\\[[0-9;]*m"), ends("\x1b\\[0m");
  const auto count = [&](const std::regex& what) {
    return std::distance(std::sregex_iterator(text.begin(), text.end(), what), {});
  };
  BOOST_TEST(count(ends) > 6);
  BOOST_TEST(count(any) == 2 * count(ends));
}

BOOST_AUTO_TEST_CASE(figures_count_idle_time_in_both_metrics) {
  const Figures figures = figures_of(Drawn().picture());
  BOOST_TEST(figures.bubble_makespan == 1.0 / 3.0, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(figures.bubble_span == 1.0 / 3.0, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(figures.peak_memory == 2.0);
  BOOST_TEST(figures.staleness == -1);
  BOOST_TEST(figures.idle.at(static_cast<std::size_t>(IdleCause::communication)) == 1.0);
}

BOOST_AUTO_TEST_CASE(page_holds_its_data_and_parts) {
  const Drawn drawn;
  const Picture pictures[] = {drawn.picture("simulated"), drawn.picture("measured")};
  const std::string page = html_page(pictures, {.title = "two"}).value();
  for (const char* name :
       {"page.css", "page_model.js", "page_draw.js", "page_text.js", "page.js"}) {
    const std::string path = std::string(COLLIE_TESTS_DIR "/../actors/schedule/views/") + name;
    const std::string part = read_file(path, 1 << 20).value();
    BOOST_TEST(page.find(part) != std::string::npos, name);
  }
  BOOST_TEST(page.find("{{") == std::string::npos);
  BOOST_TEST(page.find("http") == page.find("http-equiv"));  // nothing is fetched
  const Json data =
      parse_json(part_between(page, "id=\"data\">", "</script>"), "page data").value();
  BOOST_TEST(data["pictures"].size() == 2U);
  const Json& lane = data["pictures"][1]["lanes"][0];
  BOOST_TEST(lane["actions"].size() == 13U * drawn.simulation.actions[0].size());
  // The third action: B (3) of stage 0, micro-batch 0, from 4 to 6, a dependency on rank 1's
  // second.
  const std::vector<double> third = lane["actions"].get<std::vector<double>>();
  const std::vector<double> expected = {3, 0, 0, 0, 0, 4, 6, 1, 1, 1, 0, 0, 0};
  BOOST_TEST(std::vector<double>(third.begin() + 26, third.begin() + 39) == expected);
  BOOST_TEST(lane["memory"].size() == 14U);
}

BOOST_AUTO_TEST_CASE(no_text_leaves_its_place_in_the_page) {
  Drawn drawn;
  const std::string evil = "</script><script>alert(1)</script>\"&{{js}}\xff<!--";
  Picture picture = drawn.picture(evil);
  picture.note = evil;
  const std::string page = html_page({&picture, 1}, {.title = evil}).value();
  const std::string plain = html_page(std::array{drawn.picture()}, {}).value();
  const auto count = [](const std::string& text, const std::string& what) {
    std::size_t found = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
      ++found;
    }
    return found;
  };
  for (const char* markup : {"<script", "</script", "<!--", "'use strict'"}) {
    BOOST_TEST(count(page, markup) == count(plain, markup), markup);
  }
  const Json data = parse_json(part_between(page, "id=\"data\">", "</script>"), "data").value();
  BOOST_TEST(data["pictures"][0]["title"].get<std::string>().starts_with("</script>"));
  const std::string drawing = svg_drawing(picture).value();
  BOOST_TEST(drawing.find("<script") == std::string::npos);
  BOOST_TEST(parse_json(chrome_trace(picture).value(), "trace").ok());
}

BOOST_AUTO_TEST_CASE(trace_events_are_the_actions) {
  const Json trace = parse_json(chrome_trace(Drawn().picture(), 1000.0).value(), "trace").value();
  std::size_t complete = 0, counters = 0;
  for (const Json& event : trace["traceEvents"]) {
    complete += event["ph"] == "X" ? 1 : 0;
    counters += event["ph"] == "C" ? 1 : 0;
    if (event["name"] != "0B1") continue;
    BOOST_TEST(event["ts"].get<double>() == 7000.0);
    BOOST_TEST(event["dur"].get<double>() == 2000.0);
    BOOST_TEST(event["args"]["idle_cause"] == "communication");
    BOOST_TEST(event["args"]["waited_for"] == "1B1 on rank 1");
  }
  BOOST_TEST(complete == 10U);
  BOOST_TEST(counters == 3U);
}

BOOST_AUTO_TEST_CASE(drawing_has_a_box_per_action_and_an_axis) {
  const std::string drawing = svg_drawing(Drawn().picture(), {.width = 976}).value();
  // 900 pixels for 9 units: B0 of rank 0 stands from 4 to 6.
  BOOST_TEST(drawing.find("<rect x=\"464.00\" y=\"34.00\" width=\"199.20\"") != std::string::npos);
  BOOST_TEST(drawing.find(">0B0</text>") != std::string::npos);
  BOOST_TEST(drawing.ends_with("</svg>\n"));
  BOOST_TEST(tinted_colour(Verb::forward, 0) == colour_of(Verb::forward));
  BOOST_TEST(tinted_colour(Verb::forward, 4) == colour_of(Verb::forward));
  BOOST_TEST(is_dark(colour_of(Verb::backward)));
  BOOST_TEST(!is_dark(tinted_colour(Verb::backward, 3)));
}

BOOST_AUTO_TEST_CASE(comparison_is_a_column_per_picture) {
  const Drawn drawn;
  const Picture pictures[] = {drawn.picture("one"), drawn.picture("another")};
  const std::string table = comparison_table(pictures);
  BOOST_TEST(table.find("one") < table.find("another"));
  BOOST_TEST(std::regex_search(table, std::regex("bubble of the makespan +33.33 % +33.33 %")));
}

BOOST_AUTO_TEST_CASE(too_much_to_draw_is_refused) {
  Drawn drawn;
  drawn.simulation.actions[0].resize(500'000);
  const Picture picture = drawn.picture();
  for (const auto& refused :
       {html_page({&picture, 1}, {}), svg_drawing(picture), chrome_trace(picture)}) {
    BOOST_REQUIRE(!refused.ok());
    BOOST_TEST(refused.error().message.find("too many") != std::string::npos);
  }
  BOOST_TEST(!html_page({}, {}).ok());
}

}  // namespace
}  // namespace collie
