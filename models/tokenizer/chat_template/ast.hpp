// The tree of a chat template. Nodes live in the Tree's lists and point to each other; what the
// lists hold is freed without recursion, however deep a template nests.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/tokenizer/chat_template/value.hpp"

namespace collie::chat {

struct Expression {
  enum class Type {
    literal,      // literal
    name,         // text
    list,         // operands
    tuple,        // operands
    dict,         // operands: key, value, key, value, ...
    attribute,    // operands[0] . text
    subscript,    // operands[0] [ operands[1] ]
    slice,        // operands: start, stop, step; null where left out
    call,         // operands[0] ( arguments )
    filter,       // operands[0] | text ( arguments ); operands[0] is null in {% filter %}
    test,         // operands[0] is text ( arguments )
    unary,        // text: not, -, +
    binary,       // text: the operator
    compare,      // operands[0] op[0] operands[1] op[1] ...
    concatenate,  // operands joined by ~
    both,         // and
    either,       // or
    conditional,  // operands: test, then, otherwise (may be null)
  };
  Type type = Type::literal;
  int line = 1;
  std::string text;
  Value literal;  // its text is the text above
  std::vector<const Expression*> operands;
  std::vector<std::string> operators;  // of compare
  std::vector<const Expression*> arguments;
  std::vector<std::pair<std::string, const Expression*>> keywords;
  const Expression* spread = nullptr;        // *arguments
  const Expression* spread_named = nullptr;  // **arguments
};

struct Parameter {
  std::string name;
  const Expression* otherwise = nullptr;
};

struct Statement {
  enum class Type {
    text,        // text, as it stands
    output,      // values
    branch,      // values[i] decides bodies[i]; one body more is the else
    loop,        // for target in values[0] if values[1] (null: always); bodies: body, else
    assign,      // target = values[0]
    capture,     // target = what bodies[0] writes, through the filter values[0] (may be null)
    macro,       // text(parameters) bodies[0]
    call,        // values[0] called with bodies[0] as caller(parameters)
    filter,      // values[0] applied to what bodies[0] writes
    with,        // names = values, for bodies[0]
    generation,  // bodies[0] is the assistant's
    leave,       // break
    skip,        // continue
  };
  Type type = Type::text;
  int line = 1;
  std::string text;
  const Expression* target = nullptr;  // a name, a tuple of targets, or a namespace's attribute
  std::vector<const Expression*> values;
  std::vector<std::vector<const Statement*>> bodies;
  std::vector<std::string> names;
  std::vector<Parameter> parameters;
  bool uses_varargs = false;
  bool uses_kwargs = false;
  bool uses_caller = false;
};

using Body = std::vector<const Statement*>;

struct Tree {
  std::deque<Expression> expressions;
  std::deque<Statement> statements;
  Body body;
  bool has_generation = false;
};

}  // namespace collie::chat
