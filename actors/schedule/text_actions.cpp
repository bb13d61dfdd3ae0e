// One cell of a program: an action, with what is wrong with it in words.
#include <fmt/ranges.h>

#include <vector>

#include "actors/schedule/text_parts.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

bool has_version(Verb verb) {
  return verb == Verb::pin || verb == Verb::drop;
}

bool ends_cell(char letter) {
  return is_blank(letter) || letter == '\0' || letter == ';' || letter == ')' || letter == '}' ||
         letter == '#';
}

std::vector<std::string> known_words() {
  std::vector<std::string> words = {"repeat", "rank"};
  for (int verb = 0; verb < verb_count; ++verb) {
    words.emplace_back(letter(static_cast<Verb>(verb)));
  }
  return words;
}

}  // namespace

Result<Action> ActionReader::read(std::span<const Variable> variables) {
  variables_ = variables;
  const std::size_t begin = cursor_.at();
  Action action;
  const bool has_number = is_digit(cursor_.peek()) || cursor_.peek() == '{';
  if (has_number) {
    COLLIE_TRY(action.stage, read_part("stage", schedule_.stages()));
  }
  COLLIE_TRY(action.verb, read_verb(begin, has_number));
  if (has_number) {
    COLLIE_TRY(action.micro_batch, read_part("micro-batch", schedule_.micro_batches));
    if (cursor_.take('.')) {
      COLLIE_TRY(const int slice, read_part("slice", schedule_.slices));
      action.slice = static_cast<short>(slice);
    }
  } else if (action.verb != Verb::fence) {
    COLLIE_TRY(action.stage, read_part("stage", schedule_.stages()));
    if (has_version(action.verb)) {
      if (!cursor_.take('.')) return wants_version(action.verb);
      COLLIE_TRY(action.micro_batch, read_part("version", limits::micro_batches_max + 1));
    } else if (action.verb == Verb::predict && cursor_.take('.')) {
      COLLIE_TRY(action.micro_batch, read_part("horizon", limits::micro_batches_max + 1));
    }
  }
  if (cursor_.peek() == '~') COLLIE_TRY_VOID(read_direction(action));
  if (!ends_cell(cursor_.peek())) return unexpected(begin, action);
  if (++action_count_ > actions_max_) {
    return cursor_.error_at(begin, "more than {} actions", actions_max_);
  }
  return action;
}

Result<int> ActionReader::read_part(std::string_view what, int count) {
  const std::size_t at = cursor_.at();
  COLLIE_TRY(const int value, read_number(cursor_, variables_, what));
  if (value >= 0 && value < count) return value;
  return cursor_.error_at(at, "{} {}; the last one is {}", what, value, count - 1);
}

Result<Verb> ActionReader::read_verb(std::size_t begin, bool has_number) {
  const std::size_t at = cursor_.at();
  const std::string_view word = cursor_.word();
  const auto verb = verb_named(word);
  if (!verb) {
    const std::string_view shown = word.empty() ? cursor_.rest().substr(0, 1) : word;
    const std::vector<std::string> known = known_words();
    std::string hint = did_you_mean(shown, known);
    if (hint.empty()) hint = fmt::format("; known are {}", fmt::join(known, ", "));
    return cursor_.error_at(at, "unknown verb {}{}", quoted_name(shown), hint);
  }
  if (has_number == has_micro_batch(*verb)) return *verb;
  if (*verb == Verb::fence) return cursor_.error_at(begin, "FENCE has no stage");
  if (has_number) return cursor_.error_at(begin, "{0} stands before its stage: {0}1", word);
  return cursor_.error_at(begin, "the stage stands before {0}: 1{0}0", word);
}

Status ActionReader::read_direction(Action& action) {
  if (schedule_.placement.directions() == 2 && action.verb != Verb::fence) {
    cursor_.advance();
    action.direction = 1;
    return ok_status();
  }
  return cursor_.error_at(cursor_.at(),
                          "'~' needs 'placement bidirectional', where a replica runs back");
}

Error ActionReader::wants_version(Verb verb) const {
  return cursor_.error_at(cursor_.at(), "'.' and a version should stand here: {}1.4", letter(verb));
}
Error ActionReader::unexpected(std::size_t begin, const Action& action) const {
  return cursor_.error_at(cursor_.at(), "a blank should follow {}, which starts in column {}",
                          to_string(action), cursor_.column_of(begin));
}

}  // namespace collie
