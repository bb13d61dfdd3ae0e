// What text_format's readers share. Only they use it.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>

#include "actors/schedule/expression.hpp"
#include "actors/schedule/schedule.hpp"
#include "actors/schedule/text_cursor.hpp"

namespace collie {

// The words of the format's enumerations, in the order of their values.
inline const std::array<std::string, 5> placement_words = {"linear", "looped", "wave",
                                                           "bidirectional", "table"};
inline const std::array<std::string, 3> channel_words = {"tagged", "fifo", "rendezvous"};
inline const std::array<std::string, 5> version_rule_words = {"latest", "stashed", "previous-group",
                                                              "vertical", "predicted"};
inline const std::array<std::string, 6> correction_words = {
    "none", "pipemare", "spec-train", "xpipe", "pipe-optim", "nesterov-delay"};

// A number, or an {expression} over the variables, at the cursor. what names it in errors.
Result<int> read_number(TextCursor& cursor, std::span<const Variable> variables,
                        std::string_view what);
// The same behind blanks, without variables, within bounds.
Status read_number_within(TextCursor& cursor, int& field, std::string_view what, int least,
                          int most);
// The index of the word at the cursor.
Result<std::size_t> read_choice(TextCursor& cursor, std::span<const std::string> words,
                                std::string_view what);
// A word, or "letters in quotes" where \" \\ and \xHH stand for what cannot be written.
Result<std::string> read_name(TextCursor& cursor);

// What stands behind the keys channel, versions and contract.
Status read_channel(TextCursor& cursor, Channel& channel);
Status read_versions(TextCursor& cursor, Versions& versions);
// Where staleness, mismatch and versions stand in the text, to be checked when S is known.
using BoundPlaces = std::array<std::optional<std::size_t>, 3>;
Status read_policy(TextCursor& cursor, Policy& policy);
Result<BoundPlaces> read_contract(TextCursor& cursor, Contract& contract);

// From the start of the text to its first `rank` or its end: a schedule with empty programs.
Result<Schedule> read_header(TextCursor& cursor);

// Reads actions of programs at the cursor.
class ActionReader {
 public:
  ActionReader(TextCursor& cursor, const Schedule& schedule, std::size_t actions_max)
      : cursor_(cursor), schedule_(schedule), actions_max_(actions_max) {}

  // An error too where it is one more than actions_max in all.
  Result<Action> read(std::span<const Variable> variables);

 private:
  Result<int> read_part(std::string_view what, int count);
  Result<Verb> read_verb(std::size_t begin, bool has_number);
  Status read_direction(Action& action);
  Error wants_version(Verb verb) const;
  Error unexpected(std::size_t begin, const Action& action) const;

  TextCursor& cursor_;
  const Schedule& schedule_;
  std::size_t actions_max_;
  std::size_t action_count_ = 0;
  std::span<const Variable> variables_;
};

// What expressions of contracts and programs know of a schedule: P, S, M and m.
std::array<Variable, 4> variables_of(const Schedule& schedule);

}  // namespace collie
