#include "actors/schedule/text_format.hpp"

#include <vector>

#include "actors/schedule/text_parts.hpp"

namespace collie {

namespace {

class ProgramReader {
 public:
  ProgramReader(TextCursor& cursor, Schedule& schedule, std::size_t actions_max)
      : cursor_(cursor),
        schedule_(schedule),
        actions_(cursor, schedule, actions_max),
        actions_max_(actions_max),
        passes_left_(2 * actions_max),
        bytes_left_(64 * actions_max) {
    const auto known = variables_of(schedule);
    variables_.assign(known.begin(), known.end());
    variables_.push_back({"r", 0});
  }

  Status read() {
    while (true) {
      cursor_.skip_space();
      if (cursor_.at_end()) return ok_status();
      COLLIE_TRY_VOID(read_ranks());
    }
  }

 private:
  // "rank 0..3:" and what follows; the reader stands at the word rank.
  Status read_ranks() {
    cursor_.go_to(cursor_.at() + std::string_view("rank").size());
    COLLIE_TRY(const int begin, read_within("the rank", schedule_.ranks()));
    int end = begin;
    if (cursor_.rest().starts_with("..")) {
      cursor_.go_to(cursor_.at() + 2);
      COLLIE_TRY(end, read_within("the last rank", schedule_.ranks()));
    }
    cursor_.skip_space();
    if (!cursor_.take(':')) return cursor_.error_at(cursor_.at(), "a ':' should stand here");
    const std::size_t body = cursor_.at();
    for (int rank = begin; rank <= end; ++rank) {
      cursor_.go_to(body);
      variables_[rank_slot].value = rank;
      program_ = &schedule_.programs[static_cast<std::size_t>(rank)];
      COLLIE_TRY_VOID(read_items(0));
      if (begin < end) COLLIE_TRY_VOID(spend(cursor_.at() - body));
    }
    if (begin <= end) return ok_status();
    return cursor_.error_at(body - 1, "the last rank, {}, is before the first, {}", end, begin);
  }

  Result<int> read_within(std::string_view what, int count) {
    cursor_.skip_space();
    const std::size_t at = cursor_.at();
    COLLIE_TRY(const int value, read_number(cursor_, variables_, what));
    if (value >= 0 && value < count) return value;
    return cursor_.error_at(at, "{} is {}, of {}", what, value, count);
  }

  // Everything up to the closing brace, or at depth 0 to the next `rank` or the end.
  Status read_items(int depth) {
    while (true) {
      cursor_.skip_space();
      const char letter = cursor_.peek();
      if (is_digit(letter) || letter == '{') {
        COLLIE_TRY_VOID(read_action());
      } else if (letter == '(') {
        COLLIE_TRY_VOID(read_pair());
      } else if (letter == '}') {
        if (depth > 0) return ok_status();
        return cursor_.error_at(cursor_.at(), "no repeat is open for this '}}' to close");
      } else if (cursor_.at_end()) {
        if (depth == 0) return ok_status();
        return cursor_.error_at(cursor_.at(), "a repeat's closing '}}' is missing");
      } else {
        const std::size_t at = cursor_.at();
        const std::string_view word = cursor_.word();
        if (word == "rank") {
          cursor_.go_to(at);
          if (depth == 0) return ok_status();
          return cursor_.error_at(at, "a repeat's closing '}}' is missing before the next rank");
        }
        if (word == "repeat") {
          COLLIE_TRY_VOID(read_repeat(at, depth + 1));
        } else {
          cursor_.go_to(at);
          COLLIE_TRY_VOID(read_action());
        }
      }
    }
  }

  // "k 0..7 { ... }", behind the word repeat.
  Status read_repeat(std::size_t begin, int depth) {
    if (depth > limits::schedule_repeats_deep_max) {
      return cursor_.error_at(begin, "more than {} repeats within each other",
                              limits::schedule_repeats_deep_max);
    }
    cursor_.skip_space();
    const std::string_view name = cursor_.word();
    if (name.empty() || name.find('-') != name.npos) {
      return cursor_.error_at(cursor_.at(), "a name of letters for the repeat should stand here");
    }
    if (std::ranges::find(variables_, name, &Variable::name) != variables_.end()) {
      return cursor_.error_at(cursor_.at() - name.size(), "the name {} is in use; choose another",
                              name);
    }
    cursor_.skip_space();
    COLLIE_TRY(const int first, read_number(cursor_, variables_, "the repeat's begin"));
    if (!cursor_.rest().starts_with("..")) {
      return cursor_.error_at(cursor_.at(), "'..' and the repeat's end should stand here");
    }
    cursor_.go_to(cursor_.at() + 2);
    COLLIE_TRY(const int last, read_number(cursor_, variables_, "the repeat's end"));
    cursor_.skip_space();
    if (!cursor_.take('{')) return cursor_.error_at(cursor_.at(), "a '{{' should stand here");
    if (last < first) return skip_body();
    return repeat(name, first, last, depth);
  }

  Status repeat(std::string_view name, int first, int last, int depth) {
    const std::size_t body = cursor_.at();
    variables_.push_back({name, first});
    for (std::int64_t k = first; k <= last; ++k) {
      variables_.back().value = static_cast<int>(k);
      cursor_.go_to(body);
      COLLIE_TRY_VOID(read_items(depth));
      COLLIE_TRY_VOID(spend(cursor_.at() - body));
    }
    variables_.pop_back();
    cursor_.advance();
    return ok_status();
  }

  // To behind the brace that closes the one before the cursor.
  Status skip_body() {
    const std::size_t begin = cursor_.at() - 1;
    int open = 1;
    while (open > 0) {
      cursor_.skip_space();
      if (cursor_.at_end()) return cursor_.error_at(begin, "the repeat's '}}' is missing");
      if (cursor_.peek() == '{') ++open;
      if (cursor_.peek() == '}') --open;
      cursor_.advance();
    }
    return spend(cursor_.at() - begin);
  }

  Status read_pair() {
    const std::size_t begin = cursor_.at();
    cursor_.advance();
    cursor_.skip_space();
    COLLIE_TRY_VOID(read_action());
    program_->back().overlaps_next = true;
    cursor_.skip_space();
    if (!cursor_.take(';')) {
      return cursor_.error_at(cursor_.at(), "';' and the pair's second action should stand here");
    }
    cursor_.skip_space();
    COLLIE_TRY_VOID(read_action());
    cursor_.skip_space();
    if (cursor_.take(')')) return ok_status();
    return cursor_.error_at(begin, "a pair of actions ends with ')' behind the second");
  }

  Status read_action() {
    COLLIE_TRY(const Action action, actions_.read(variables_));
    program_->push_back(action);
    return ok_status();
  }

  // For each pass over a part of the text that is read several times: how much work a small text
  // can ask for stays bounded.
  Status spend(std::size_t bytes) {
    if (passes_left_ == 0 || bytes > bytes_left_) {
      return cursor_.error_at(cursor_.at(), "the repeats go round too often for at most {} actions",
                              actions_max_);
    }
    --passes_left_;
    bytes_left_ -= bytes;
    return ok_status();
  }

  TextCursor& cursor_;
  Schedule& schedule_;
  ActionReader actions_;
  std::size_t actions_max_;
  std::size_t passes_left_;
  std::size_t bytes_left_;
  static constexpr std::size_t rank_slot = 4;
  std::vector<Variable> variables_;  // of the file, r, and of the repeats around
  std::vector<Action>* program_ = nullptr;
};

}  // namespace

Result<Schedule> parse_schedule(std::string_view text, std::string_view file,
                                std::size_t actions_max) {
  if (text.size() > limits::schedule_bytes_max) {
    return make_error(ErrorCode::invalid_file, "{}: {} bytes; a schedule file has at most {}", file,
                      text.size(), limits::schedule_bytes_max);
  }
  TextCursor cursor(text, file);
  COLLIE_TRY(Schedule schedule, read_header(cursor));
  COLLIE_TRY_VOID(ProgramReader(cursor, schedule, actions_max).read());
  return schedule;
}

}  // namespace collie
