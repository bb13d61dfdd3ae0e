#define BOOST_TEST_MODULE text_errors
#include <boost/test/unit_test.hpp>
#include <string>

#include "actors/schedule/text_format.hpp"

namespace collie {
namespace {

std::string problem(const std::string& text, std::size_t actions_max = 1000) {
  const auto schedule = parse_schedule(text, "f", actions_max);
  return schedule.ok() ? "none" : schedule.error().message;
}
// Of a program of rank 0; its first column is 9.
std::string in_program(const std::string& text) {
  return problem("schedule 1 ranks 2 placement linear micro-batches 8\nrank 0: " + text);
}
// Of a header's second line.
std::string in_header(const std::string& text) {
  return problem("schedule 1 ranks 2 micro-batches 8\n" + text);
}

BOOST_AUTO_TEST_CASE(a_file_says_what_it_is) {
  BOOST_TEST(problem("") == "f:1:1: a schedule file starts with 'schedule 1'");
  BOOST_TEST(problem("\n 0F0,0B0") == "f:2:2: a schedule file starts with 'schedule 1'");
  BOOST_TEST(problem("schedule 2") ==
             "f:1:1: format 2 is not known; this program reads 'schedule 1'");
  BOOST_TEST(problem("schedule 1\n") == "f:2:1: the key ranks is missing");
  BOOST_TEST(problem("schedule 1\nranks 2\nrank 0:") == "f:3:1: the key micro-batches is missing");
}

BOOST_AUTO_TEST_CASE(keys_and_values_are_checked) {
  BOOST_TEST(in_header("  microbatches 4") ==
             "f:2:3: unknown key 'microbatches'; did you mean 'micro-batches'?");
  BOOST_TEST(in_header("ranks 3") == "f:2:1: ranks is given a second time");
  BOOST_TEST(in_header("placement lineer") ==
             "f:2:11: unknown placement 'lineer'; did you mean 'linear'?");
  BOOST_TEST(
      in_header("placement looped") ==
      "f:2:17: the number of chunks per rank should stand here, a number or an {expression}");
  BOOST_TEST(in_header("placement table 0,0") == "f:2:1: placement: rank 1 holds no stage");
  BOOST_TEST(in_header("placement table 0,2") == "f:2:1: placement: stage 1 on rank 2, of 2 ranks");
  BOOST_TEST(in_header("stages 3") == "f:2:1: stages is 3, but the placement gives 2");
  BOOST_TEST(in_header("slices 0") == "f:2:8: slices is 0; it should be between 1 and 1024");
  BOOST_TEST(in_header("channel fifo credits=2") ==
             "f:2:14: unknown option 'credits'; did you mean 'credit'?");
  BOOST_TEST(in_header("versions backward=stash") ==
             "f:2:19: unknown version rule 'stash'; did you mean 'stashed'?");
  BOOST_TEST(in_header("name \"x") == "f:2:6: the name's closing quote is missing");
  BOOST_TEST(in_header("name \"\\n\"") == "f:2:7: behind \\ should stand \", \\ or xHH");
  BOOST_TEST(in_header("name \"\\") == "f:2:7: behind \\ should stand \", \\ or xHH");
  BOOST_TEST(in_header("contract asynchronous") ==
             "f:2:10: a contract is 'synchronous', or 'staleness=EXPR mismatch=EXPR "
             "versions=EXPR'");
  BOOST_TEST(in_header("contract staleness=S-1-p") ==
             "f:2:24: unknown name 'p'; did you mean 'P'?");
  BOOST_TEST(in_header("contract versions={1 / s}") == "f:2:22: a division by zero");
  BOOST_TEST(in_header("contract versions={1\n}") ==
             "f:2:19: the expression's closing '}' is missing");
}

BOOST_AUTO_TEST_CASE(actions_are_checked) {
  BOOST_TEST(
      in_program("0X3").starts_with("f:2:10: unknown verb 'X'; known are repeat, rank, F, I, W"));
  BOOST_TEST(in_program("0SEND_G3") == "f:2:10: unknown verb 'SEND_G'; did you mean 'SEND_F'?");
  BOOST_TEST(in_program("\n STEPS0") == "f:3:2: unknown verb 'STEPS'; did you mean 'STEP'?");
  BOOST_TEST(in_program("F3") == "f:2:9: the stage stands before F: 1F0");
  BOOST_TEST(in_program("1STEP") == "f:2:9: STEP stands before its stage: STEP1");
  BOOST_TEST(in_program("0FENCE") == "f:2:9: FENCE has no stage");
  BOOST_TEST(in_program("2F0") == "f:2:9: stage 2; the last one is 1");
  BOOST_TEST(in_program("0F8") == "f:2:11: micro-batch 8; the last one is 7");
  BOOST_TEST(in_program("0F0.1") == "f:2:13: slice 1; the last one is 0");
  BOOST_TEST(in_program("0F{0-1}") == "f:2:11: micro-batch -1; the last one is 7");
  BOOST_TEST(in_program("0F{k}").starts_with("f:2:12: unknown name 'k'"));
  BOOST_TEST(in_program("0F{1") == "f:2:11: the expression's closing '}' is missing");
  BOOST_TEST(in_program("0F") ==
             "f:2:11: micro-batch should stand here, a number or an {expression}");
  BOOST_TEST(in_program("0F9999999999") == "f:2:11: micro-batch is too large");
  BOOST_TEST(in_program("0F1~") ==
             "f:2:12: '~' needs 'placement bidirectional', where a replica runs back");
  BOOST_TEST(in_program("PIN1") == "f:2:13: '.' and a version should stand here: PIN1.4");
  BOOST_TEST(in_program("0F1,0F2") ==
             "f:2:12: a blank should follow 0F1, which starts in column 9");
  BOOST_TEST(in_program("(0F1 0B0)") ==
             "f:2:14: ';' and the pair's second action should stand here");
  BOOST_TEST(in_program("(0F1;0B0 0F2") ==
             "f:2:9: a pair of actions ends with ')' behind the second");
  BOOST_TEST(in_program("(0F1;0B0;0F2)") ==
             "f:2:9: a pair of actions ends with ')' behind the second");
  BOOST_TEST(in_program("\x01").starts_with("f:2:9: unknown verb '\\x01'"));
}

BOOST_AUTO_TEST_CASE(repeats_and_ranks_are_checked) {
  BOOST_TEST(in_program("repeat k 0..2 { 0F{k}") == "f:2:30: a repeat's closing '}' is missing");
  BOOST_TEST(in_program("repeat k 0..2 { 0F{k}\nrank 1:") ==
             "f:3:1: a repeat's closing '}' is missing before the next rank");
  BOOST_TEST(in_program("repeat k 2..0 { 0F{k}") == "f:2:23: the repeat's '}' is missing");
  BOOST_TEST(in_program("0F0 }") == "f:2:13: no repeat is open for this '}' to close");
  BOOST_TEST(in_program("repeat 0..2 {}") ==
             "f:2:16: a name of letters for the repeat should stand here");
  BOOST_TEST(in_program("repeat r 0..2 {}") == "f:2:16: the name r is in use; choose another");
  BOOST_TEST(in_program("repeat k 0 {}") == "f:2:19: '..' and the repeat's end should stand here");
  BOOST_TEST(in_program("repeat k 0..2 0F0") == "f:2:23: a '{' should stand here");
  BOOST_TEST(in_program("\nrank 2: 0F0") == "f:3:6: the rank is 2, of 2");
  BOOST_TEST(in_program("\nrank 1..0: 0F0") == "f:3:10: the last rank, 0, is before the first, 1");
  BOOST_TEST(in_program("\nrank 1 0F0") == "f:3:8: a ':' should stand here");
  std::string nested;
  for (char name = 'a'; name < 'r'; ++name) nested += fmt::format("repeat x{} 0..0 {{", name);
  BOOST_TEST(in_program(nested) == "f:2:265: more than 16 repeats within each other");
}

BOOST_AUTO_TEST_CASE(what_a_small_text_can_ask_for_is_bounded) {
  const std::string head = "schedule 1 ranks 2 micro-batches 8\nrank 0:";
  const std::string too_often = "the repeats go round too often for at most 1000 actions";
  BOOST_TEST(problem(head + "repeat k 0..1000 { 0F0 }") == "f:2:27: more than 1000 actions");
  BOOST_TEST(problem(head + "repeat k 0..999 { 0F0 }") == "none");
  BOOST_TEST(problem(head + "repeat k 0..{2147483647} { }") == "f:2:35: " + too_often);
  BOOST_TEST(problem(head + "repeat k 0..1999 { }") == "none");
  const std::string comment = "#" + std::string(1000, 'x') + "\n";
  BOOST_TEST(problem(head + "repeat k 0..99 {" + comment + "}") == "f:3:1: " + too_often);
  BOOST_TEST(problem(head + "repeat k 0..99 { repeat j 1..0 {" + comment + "} }") ==
             "f:3:3: " + too_often);
  BOOST_TEST(
      problem("schedule 1 ranks 16384 micro-batches 65536") ==
      "f:1:24: stages x micro-batches x slices are 1073741824; at most 20000000 are possible");
  BOOST_TEST(problem("schedule 1 ranks 16384 micro-batches 1 placement looped 5") ==
             "f:1:40: 16384 ranks x 5 chunks are more than 65536 stages");
  BOOST_TEST(problem("schedule 1 ranks 16385") ==
             "f:1:18: ranks is 16385; it should be between 1 and 16384");
}

}  // namespace
}  // namespace collie
