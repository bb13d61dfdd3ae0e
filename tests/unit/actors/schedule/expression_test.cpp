#define BOOST_TEST_MODULE expression
#include "actors/schedule/expression.hpp"

#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "runtime/limits.hpp"

namespace collie {
namespace {

const std::vector<Variable> pipeline = {{"P", 4}, {"S", 8}, {"s", 3}, {"m", 16}, {"k", -1}};

int value_of(std::string_view text) {
  return evaluate(text, pipeline).value();
}
std::string problem_of(std::string_view text) {
  return evaluate(text, pipeline).error().message;
}

BOOST_AUTO_TEST_CASE(operators_bind_as_in_mathematics) {
  BOOST_TEST(value_of("S-1-s") == 4);
  BOOST_TEST(value_of(" 2 + 3 * 4 ") == 14);
  BOOST_TEST(value_of("(2+3)*4") == 20);
  BOOST_TEST(value_of("2*m-P/2") == 30);
  BOOST_TEST(value_of("-s-1") == -4);
  BOOST_TEST(value_of("3--2") == 5);
  BOOST_TEST(value_of("-k") == 1);
}

BOOST_AUTO_TEST_CASE(a_division_rounds_down) {
  BOOST_TEST(value_of("7/2") == 3);
  BOOST_TEST(value_of("7/2*2") == 6);
  BOOST_TEST(value_of("k/2") == -1);
  BOOST_TEST(value_of("7/-2") == -4);
  BOOST_TEST(value_of("6/3") == 2);
}

BOOST_AUTO_TEST_CASE(floor_and_ceil_round_exact_fractions) {
  BOOST_TEST(value_of("ceil((S-1-s)/3)") == 2);
  BOOST_TEST(value_of("ceil(6/3)") == 2);
  BOOST_TEST(value_of("ceil(-7/2)") == -3);
  BOOST_TEST(value_of("floor(-7/2)") == -4);
  BOOST_TEST(value_of("ceil(1/3+1/3+1/3)") == 1);
  BOOST_TEST(value_of("ceil(7/2*2)") == 7);
  BOOST_TEST(value_of("ceil(max(1/3,1/2)*4)") == 2);
  BOOST_TEST(value_of("ceil(5/2)/2") == 1);
}

BOOST_AUTO_TEST_CASE(min_and_max_take_one_or_more) {
  BOOST_TEST(value_of("min(3)") == 3);
  BOOST_TEST(value_of("min(m, S, P)") == 4);
  BOOST_TEST(value_of("max(0,s-5)") == 0);
  BOOST_TEST(value_of("max(1,2,min(9,3))") == 3);
}

BOOST_AUTO_TEST_CASE(the_last_variable_of_a_name_counts) {
  const std::vector<Variable> variables = {{"k", 1}, {"k", 2}};
  BOOST_TEST(evaluate("k", variables).value() == 2);
}

BOOST_AUTO_TEST_CASE(errors_name_column_and_cause) {
  BOOST_TEST(problem_of("S-1-p") == "column 5: unknown name 'p'; did you mean 'P'?");
  BOOST_TEST(problem_of("3+") == "column 3: a number or a name should stand here");
  BOOST_TEST(problem_of("") == "column 1: a number or a name should stand here");
  BOOST_TEST(problem_of("(3") == "column 3: a ')' should stand here");
  BOOST_TEST(problem_of("3 4") == "column 3: an operator or the end should stand here");
  BOOST_TEST(problem_of("2P") == "column 2: an operator should stand between a number and a name");
  BOOST_TEST(problem_of("4/(s-3)") == "column 2: a division by zero");
  BOOST_TEST(problem_of("3+$") == "column 3: '$' is neither a number nor a name");
  BOOST_TEST(problem_of("max 1") == "column 1: unknown name 'max'; known here are P, S, s, m, k");
  BOOST_TEST(problem_of("abs(1)") ==
             "column 1: unknown function 'abs'; known are min, max, floor, ceil");
}

BOOST_AUTO_TEST_CASE(numbers_stay_within_31_bits) {
  BOOST_TEST(value_of("2147483647") == 2147483647);
  BOOST_TEST(value_of("-2147483647") == -2147483647);
  const std::string too_large = "the number is too large";
  BOOST_TEST(problem_of("2147483648") == "column 1: " + too_large);
  BOOST_TEST(problem_of("99999999999999999999999") == "column 1: " + too_large);
  BOOST_TEST(problem_of("2147483647+1") == "column 11: " + too_large);
  BOOST_TEST(problem_of("-2147483647-1") == "column 12: " + too_large);
  BOOST_TEST(problem_of("65536*65536") == "column 6: " + too_large);
  BOOST_TEST(problem_of("ceil(1/65536/65536)") == "column 13: " + too_large);
  const std::vector<Variable> lowest = {{"k", -2147483647 - 1}};
  BOOST_TEST(!evaluate("-k", lowest).ok());
  BOOST_TEST(!evaluate("k", lowest).ok());
}

BOOST_AUTO_TEST_CASE(length_and_depth_are_bounded) {
  const std::string deep = std::string(40, '(') + "1" + std::string(40, ')');
  BOOST_TEST(problem_of(deep) == "column 33: more than 32 levels deep");
  BOOST_TEST(value_of(std::string(31, '(') + "1" + std::string(31, ')')) == 1);
  BOOST_TEST(problem_of(std::string(100, '-') + "1").find("levels deep") != std::string::npos);
  const std::string longest = "1" + std::string(limits::expression_bytes_max - 1, ' ');
  BOOST_TEST(value_of(longest) == 1);
  BOOST_TEST(problem_of(longest + " ") == "column 1: the expression is longer than 200 bytes");
}

}  // namespace
}  // namespace collie
