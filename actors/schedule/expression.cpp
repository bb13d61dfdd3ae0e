#include "actors/schedule/expression.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

// Both parts stay within 31 bits, the divisor above zero, so sums of products fit 63.
struct Fraction {
  std::int64_t over = 0;
  std::int64_t under = 1;
};

std::int64_t rounded_down(Fraction value) {
  const std::int64_t quotient = value.over / value.under;
  return value.over % value.under < 0 ? quotient - 1 : quotient;
}

bool is_digit(char letter) {
  return letter >= '0' && letter <= '9';
}
bool is_name_letter(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || letter == '_' ||
         is_digit(letter);
}

class Evaluator {
 public:
  Evaluator(std::string_view text, std::span<const Variable> variables)
      : text_(text), variables_(variables) {}

  Evaluation run() {
    if (text_.size() > limits::expression_bytes_max) {
      fail(0, fmt::format("the expression is longer than {} bytes", limits::expression_bytes_max));
      return std::move(result_);
    }
    const Fraction value = sum();
    skip_blanks();
    if (result_.ok() && at_ < text_.size()) fail(at_, "an operator or the end should stand here");
    result_.value = static_cast<int>(rounded_down(value));
    return std::move(result_);
  }

 private:
  // The first failure counts, and ends the reading.
  Fraction fail(std::size_t at, std::string problem) {
    if (result_.ok()) {
      result_.error_column = at + 1;
      result_.problem = std::move(problem);
    }
    at_ = text_.size();
    return {};
  }

  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool take(char wanted) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  // As a reduced fraction, if it fits.
  Fraction checked(std::size_t at, std::int64_t over, std::int64_t under) {
    const std::int64_t divisor = std::gcd(over, under);
    const Fraction value = {over / divisor, under / divisor};
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    if (value.over > most || value.over < -most || value.under > most) {
      return fail(at, "the number is too large");
    }
    return value;
  }

  Fraction sum() {
    Fraction left = product();
    while (true) {
      skip_blanks();
      const std::size_t at = at_;
      const bool is_plus = take('+');
      if (!is_plus && !take('-')) return left;
      const Fraction right = product();
      const std::int64_t crossed = right.over * left.under;
      left = checked(at, left.over * right.under + (is_plus ? crossed : -crossed),
                     left.under * right.under);
    }
  }

  Fraction product() {
    Fraction left = factor();
    while (true) {
      skip_blanks();
      const std::size_t at = at_;
      if (take('*')) {
        const Fraction right = factor();
        left = checked(at, left.over * right.over, left.under * right.under);
      } else if (take('/')) {
        left = divided(at, left, factor());
      } else {
        return left;
      }
    }
  }

  Fraction divided(std::size_t at, Fraction left, Fraction right) {
    if (!result_.ok()) return {};
    if (right.over == 0) return fail(at, "a division by zero");
    const std::int64_t sign = right.over < 0 ? -1 : 1;
    const Fraction exact =
        checked(at, sign * left.over * right.under, left.under * right.over * sign);
    return is_exact_ ? exact : Fraction{rounded_down(exact)};
  }

  Fraction factor() {
    if (++depth_ > limits::expression_depth_max) {
      return fail(at_, fmt::format("more than {} levels deep", limits::expression_depth_max));
    }
    const Fraction value = one_factor();
    --depth_;
    return value;
  }

  Fraction one_factor() {
    skip_blanks();
    if (at_ >= text_.size()) return fail(at_, "a number or a name should stand here");
    if (take('-')) {
      const Fraction value = factor();
      return {-value.over, value.under};
    }
    if (take('(')) {
      const Fraction value = sum();
      return closed(value);
    }
    if (is_digit(text_[at_])) return number();
    if (is_name_letter(text_[at_])) return name();
    return fail(
        at_, fmt::format("{} is neither a number nor a name", quoted_name(text_.substr(at_, 1))));
  }

  Fraction closed(Fraction value) {
    if (!take(')')) return fail(at_, "a ')' should stand here");
    return value;
  }

  Fraction number() {
    const std::size_t at = at_;
    std::int64_t value = 0;
    while (at_ < text_.size() && is_digit(text_[at_])) {
      value = std::min<std::int64_t>(value * 10 + (text_[at_++] - '0'), std::int64_t{1} << 40);
    }
    if (at_ < text_.size() && is_name_letter(text_[at_])) {
      return fail(at_, "an operator should stand between a number and a name");
    }
    return checked(at, value, 1);
  }

  Fraction name() {
    const std::size_t at = at_;
    while (at_ < text_.size() && is_name_letter(text_[at_])) ++at_;
    const std::string_view found = text_.substr(at, at_ - at);
    if (take('(')) return call(at, found);
    for (std::size_t i = variables_.size(); i-- > 0;) {
      if (variables_[i].name == found) return checked(at, variables_[i].value, 1);
    }
    return unknown(at, found);
  }

  Fraction unknown(std::size_t at, std::string_view found) {
    std::vector<std::string> known;
    for (const Variable& variable : variables_) known.emplace_back(variable.name);
    std::string hint = did_you_mean(found, known);
    if (hint.empty() && !known.empty()) {
      hint = fmt::format("; known here are {}", fmt::join(known, ", "));
    }
    return fail(at, fmt::format("unknown name {}{}", quoted_name(found), hint));
  }

  Fraction call(std::size_t at, std::string_view function) {
    if (function == "min" || function == "max") return extreme(function == "max");
    if (function != "floor" && function != "ceil") {
      return fail(at, fmt::format("unknown function {}; known are min, max, floor, ceil",
                                  quoted_name(function)));
    }
    const bool was_exact = is_exact_;
    is_exact_ = true;
    const Fraction value = sum();
    is_exact_ = was_exact;
    const std::int64_t down = rounded_down(value);
    const bool rounds_up = function == "ceil" && down * value.under != value.over;
    return closed({rounds_up ? down + 1 : down});
  }

  Fraction extreme(bool is_max) {
    Fraction best = sum();
    while (take(',')) {
      const Fraction next = sum();
      const bool is_larger = next.over * best.under > best.over * next.under;
      if (is_larger == is_max) best = next;
    }
    return closed(best);
  }

  std::string_view text_;
  std::span<const Variable> variables_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool is_exact_ = false;  // within floor() or ceil()
  Evaluation result_;
};

}  // namespace

Evaluation evaluate_expression(std::string_view text, std::span<const Variable> variables) {
  return Evaluator(text, variables).run();
}

Result<int> evaluate(std::string_view text, std::span<const Variable> variables) {
  Evaluation evaluation = evaluate_expression(text, variables);
  if (evaluation.ok()) return evaluation.value;
  return make_error(ErrorCode::invalid_config, "column {}: {}", evaluation.error_column,
                    evaluation.problem);
}

}  // namespace collie
