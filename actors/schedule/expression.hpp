// Whole-number expressions over named variables: the bounds of contracts ("S-1-s") and the numbers
// of schedule files ("{k+3}"). Pure.
//
//   sum     = product { ("+" | "-") product }
//   product = factor { ("*" | "/") factor }
//   factor  = number | name | "-" factor | "(" sum ")" | "min(" sum { "," sum } ")" | "max(...)"
//           | "floor(" sum ")" | "ceil(" sum ")"
//
// A division rounds down (also below zero: -1/2 is -1), except within floor() and ceil(), where it
// is exact until they round: ceil(a/b) is the number of groups of b that hold a.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "runtime/result.hpp"

namespace collie {

struct Variable {
  std::string_view name;
  int value = 0;
};

// What an expression came to. problem is empty where it has a value; else a sentence, and
// error_column (1-based, in bytes of the text) says where.
struct Evaluation {
  int value = 0;
  std::size_t error_column = 0;
  std::string problem = {};
  bool ok() const { return error_column == 0; }
};

// The last variable of a name counts. All numbers on the way stay within 31 bits and a sign; what
// does not is an error, as are a division by zero, a text over limits::expression_bytes_max and
// nesting over limits::expression_depth_max.
Evaluation evaluate_expression(std::string_view text, std::span<const Variable> variables);

// The same as a Result: "column 3: unknown name 'p'; did you mean 'P'?".
Result<int> evaluate(std::string_view text, std::span<const Variable> variables);

}  // namespace collie
