#define BOOST_TEST_MODULE torch_csv
#include "actors/schedule/torch_csv.hpp"

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "actors/schedule/text_format.hpp"
#include "tests/unit/actors/schedule/generated.hpp"

namespace collie {
namespace {

const std::filesystem::path goldens = COLLIE_TESTS_DIR "/goldens/schedules";

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  BOOST_REQUIRE(file.is_open());
  return {std::istreambuf_iterator<char>(file), {}};
}
TorchCsv read_golden(const std::string& name) {
  return parse_torch_csv(content_of(goldens / (name + ".csv")), name + ".csv").value();
}
std::string problem(const std::string& text) {
  const auto csv = parse_torch_csv(text, "f", 1000);
  return csv.ok() ? "none" : csv.error().message;
}
std::string export_problem(const Schedule& schedule, bool leaves_steps_to_caller = false) {
  const auto csv = to_torch_csv(schedule, {leaves_steps_to_caller});
  return csv.ok() ? "none" : csv.error().message;
}

// Idle slots alone are not kept; without them the text is the golden's, byte for byte.
BOOST_AUTO_TEST_CASE(every_golden_imports_and_exports_byte_for_byte) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(goldens)) {
    if (entry.path().extension() != ".csv") continue;
    BOOST_TEST_CONTEXT(entry.path().filename()) {
      const std::string text = content_of(entry.path());
      const TorchCsv csv = parse_torch_csv(text, entry.path().filename().string()).value();
      BOOST_TEST(csv.schedule.name == entry.path().stem().string());
      BOOST_TEST((csv.idle_slots != 0) == (text.find(",,") != text.npos));
      const std::string name = entry.path().filename().string();
      BOOST_TEST(csv.has_communication == (name.find("_comms") != name.npos));
      const std::string again = to_torch_csv(csv.schedule).value();
      if (csv.idle_slots == 0) BOOST_TEST(again == text);
      BOOST_TEST((parse_torch_csv(again, name).value().schedule == csv.schedule));
      const std::string own = to_text(csv.schedule, {.with_repeats = true});
      BOOST_TEST((parse_schedule(own, name).value() == csv.schedule));
    }
    ++count;
  }
  BOOST_TEST(count == 14);
}

BOOST_AUTO_TEST_CASE(the_placement_is_recognised) {
  BOOST_TEST((read_golden("1F1B_p4_m8").schedule.placement == Placement::linear(4)));
  const Schedule interleaved = read_golden("Interleaved1F1B_v2_p4_m8").schedule;
  BOOST_TEST((interleaved.placement == Placement::looped(4, 2)));
  BOOST_TEST(interleaved.micro_batches == 8);
  const Schedule zbv = read_golden("ZBV_handcrafted_p4_m8").schedule;
  BOOST_TEST((zbv.placement == Placement::wave(4, 2)));
  const auto table = parse_torch_csv("1F0,2F0\n0F0\n", "f").value().schedule.placement;
  BOOST_TEST((table == Placement::table(2, {1, 0, 0}).value()));
}

BOOST_AUTO_TEST_CASE(a_lowered_file_keeps_every_verb) {
  const Schedule schedule = read_golden("torch_dualpipev_p2_m4_comms").schedule;
  const std::vector<Action>& program = schedule.programs[0];
  BOOST_TEST((program[0] == Action{Verb::unshard, 0}));
  BOOST_TEST((program[3] == Action{Verb::send_activation, 0, 0}));
  BOOST_TEST((program[6] == Action{Verb::receive_activation, 3, 0}));
  BOOST_TEST((program.back() == Action{Verb::wait_send_gradient, 3, 3}));
  BOOST_TEST(read_golden("torch_interleaved_p2_m4_idle").idle_slots == 10U);
}

BOOST_AUTO_TEST_CASE(pairs_and_blanks_and_both_line_ends_are_read) {
  const auto csv =
      parse_torch_csv(" 0F1 ,,( 0F2 ; 1B0 )OVERLAP_F_B\r\n2REDUCE_GRAD, \r\n", "d/x.csv");
  const Schedule& schedule = csv.value().schedule;
  BOOST_TEST((schedule.programs[0] ==
              std::vector<Action>{{Verb::forward, 0, 1},
                                  {.verb = Verb::forward, .micro_batch = 2, .overlaps_next = true},
                                  {Verb::backward, 1, 0}}));
  BOOST_TEST((schedule.programs[1] == std::vector<Action>{{Verb::all_reduce, 2}}));
  BOOST_TEST(csv->idle_slots == 2U);
  BOOST_TEST(schedule.name == "x");
  BOOST_TEST(schedule.micro_batches == 3);
  BOOST_TEST(to_torch_csv(schedule).value() == "0F1,(0F2;1B0)OVERLAP_F_B\n2REDUCE_GRAD\n");
}

BOOST_AUTO_TEST_CASE(errors_name_cell_and_row) {
  BOOST_TEST(problem("0F0\n1F0,1X0") ==
             "f:2:6: cell 2 of rank 1: 'X' is no verb of torch.distributed.pipelining");
  BOOST_TEST(problem("0STEP") ==
             "f:1:2: cell 1 of rank 0: 'STEP' is no verb of torch.distributed.pipelining");
  BOOST_TEST(problem("0R1").find("'R' is no verb") != std::string::npos);
  BOOST_TEST(
      problem("F0") ==
      "f:1:1: cell 1 of rank 0: an action like 2F0 or (0F4;7B0)OVERLAP_F_B should stand here");
  BOOST_TEST(problem("0F0x") == "f:1:4: cell 1 of rank 0: ',' or the row's end should stand here");
  BOOST_TEST(problem("0F") ==
             "f:1:3: cell 1 of rank 0: the micro-batch should stand here, a number");
  BOOST_TEST(problem("0UNSHARD3") == "f:1:9: cell 1 of rank 0: UNSHARD takes no micro-batch");
  BOOST_TEST(problem("0F99999999999") == "f:1:3: cell 1 of rank 0: the micro-batch is over 65535");
  BOOST_TEST(problem("99999F0") == "f:1:1: cell 1 of rank 0: the stage is over 65535");
  BOOST_TEST(problem("0F0\n0B0") ==
             "f:2:1: cell 1 of rank 1: stage 0 is on rank 0 already; a stage has one rank");
  BOOST_TEST(problem("(0F0)OVERLAP_F_B") ==
             "f:1:5: cell 1 of rank 0: ';' and a second action should stand here");
  BOOST_TEST(problem("(0F0;0B1)F") == "f:1:10: cell 1 of rank 0: OVERLAP_F_B should stand here");
  BOOST_TEST(problem("2F0") ==
             "f: stage 0 has no action, though stage 2 has; a CSV names all stages");
  BOOST_TEST(problem("0F0\n\n") == "f: placement: rank 1 holds no stage");
  BOOST_TEST(problem("") == "f: there is no action");
  BOOST_TEST(problem(",,\n") == "f: there is no action");
  std::string many;
  for (int i = 0; i <= 1000; ++i) many += "0F0,";
  BOOST_TEST(problem(many).find("more than 1000 actions") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_a_csv_cannot_hold_is_an_error) {
  Schedule schedule = generated("1f1b", 2, 2);
  BOOST_TEST(export_problem(schedule) ==
             "a torch CSV cannot hold STEP0 on rank 0: there the caller steps after the schedule");
  BOOST_TEST(to_torch_csv(schedule, {.leaves_steps_to_caller = true}).value() ==
             "0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n");
  const auto broken = [&](auto change) {
    Schedule copy = schedule;
    change(copy);
    return export_problem(copy, true).substr(std::string("a torch CSV cannot hold ").size());
  };
  BOOST_TEST(broken([](Schedule& s) {
               s.programs[0].push_back({Verb::forward, 0, 0});
             }).starts_with("STEP0 on rank 0"));
  BOOST_TEST(broken([](Schedule& s) {
               s.programs[0].insert(s.programs[0].begin(), {Verb::pin});
             }) == "PIN0.0 on rank 0");
  BOOST_TEST(broken([](Schedule& s) { s.slices = 2; }).starts_with("slices"));
  BOOST_TEST(
      broken([](Schedule& s) { s.contract.synchronous = false; }).starts_with("asynchronous"));
  BOOST_TEST(broken([](Schedule& s) { s.versions.step_every = 1; }).starts_with("asynchronous"));
  BOOST_TEST(broken([](Schedule& s) {
               s.placement = Placement::bidirectional(2);
             }).starts_with("a bidirectional placement"));
  BOOST_TEST(broken([](Schedule& s) { s.micro_batches = 3; }) ==
             "micro-batch 2, which has no action");
  BOOST_TEST(broken([](Schedule& s) { s.programs[1].clear(); }) == "stage 1, which has no action");
  BOOST_TEST(broken([](Schedule& s) { s.programs[0][0].stage = 1; }) ==
             "1F0 on rank 0, for stage 1 is on rank 1");
  BOOST_TEST(broken([](Schedule& s) { s.programs[0][0].stage = 2; }) ==
             "2F0 on rank 0, which is out of range");
  BOOST_TEST(broken([](Schedule& s) {
               s.programs[0][0].overlaps_next = true;
               s.programs[0][1].overlaps_next = true;
             }) == "0F1 on rank 0: two actions side by side, no more and no less");
}

// Of the generators these need no replicas, slices or versions.
BOOST_AUTO_TEST_CASE(generated_schedules_come_back) {
  for (const char* name : {"gpipe", "1f1b", "interleaved-1f1b", "zb-h1", "zbv", "dualpipev"}) {
    auto schedule = make_schedule(name, {.ranks = 4, .micro_batches = 8});
    if (!schedule.ok()) continue;
    const std::string text = to_torch_csv(*schedule, {.leaves_steps_to_caller = true}).value();
    const Schedule again = parse_torch_csv(text, name).value().schedule;
    BOOST_TEST((again.placement == schedule->placement));
    for (auto& program : schedule->programs) {
      std::erase_if(program, [](const Action& action) { return action.verb == Verb::step; });
    }
    BOOST_TEST((again.programs == schedule->programs));
  }
}

}  // namespace
}  // namespace collie
