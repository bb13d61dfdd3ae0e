#include "actors/schedule/torch_csv.hpp"

#include <optional>
#include <vector>

#include "actors/schedule/text_cursor.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

bool is_send_or_receive(Verb verb) {
  switch (verb) {
    case Verb::send_activation:
    case Verb::receive_activation:
    case Verb::send_gradient:
    case Verb::receive_gradient:
      return true;
    default:
      return false;
  }
}

// Whether the format has the verb.
bool is_torch_verb(Verb verb) {
  return verb <= Verb::backward || verb >= Verb::send_activation;
}

class TorchReader {
 public:
  TorchReader(std::string_view text, std::string_view file, std::size_t actions_max)
      : cursor_(text, file), file_(file), actions_max_(actions_max) {}

  Result<TorchCsv> read() {
    while (!cursor_.at_end()) {
      if (programs().size() == static_cast<std::size_t>(limits::schedule_ranks_max)) {
        return cursor_.error_at(cursor_.at(), "more than {} rows", limits::schedule_ranks_max);
      }
      programs().emplace_back();
      COLLIE_TRY_VOID(read_row());
    }
    COLLIE_TRY_VOID(finish());
    return std::move(csv_);
  }

 private:
  std::vector<std::vector<Action>>& programs() { return csv_.schedule.programs; }

  void skip_blanks() {
    while (cursor_.peek() == ' ' || cursor_.peek() == '\t') cursor_.advance();
  }
  bool take_row_end() {
    if (cursor_.rest().starts_with("\r\n")) cursor_.advance();
    return cursor_.at_end() || cursor_.take('\n');
  }

  Status read_row() {
    cell_ = 1;
    if (take_row_end()) return ok_status();  // a rank without actions
    for (;; ++cell_) {
      COLLIE_TRY_VOID(read_cell());
      if (take_row_end()) return ok_status();
      if (!cursor_.take(',')) return error("',' or the row's end should stand here");
    }
  }

  Status read_cell() {
    skip_blanks();
    if (cursor_.peek() == '(') {
      COLLIE_TRY_VOID(read_pair());
    } else if (is_digit(cursor_.peek())) {
      COLLIE_TRY_VOID(read_action());
    } else if (cursor_.peek() == ',' || cursor_.peek() == '\n' || cursor_.peek() == '\r' ||
               cursor_.at_end()) {
      ++csv_.idle_slots;
    } else {
      return error("an action like 2F0 or (0F4;7B0)OVERLAP_F_B should stand here");
    }
    skip_blanks();
    return ok_status();
  }

  Status read_pair() {
    constexpr std::string_view suffix = "OVERLAP_F_B";
    cursor_.advance();
    COLLIE_TRY_VOID(read_part());
    programs().back().back().overlaps_next = true;
    if (!cursor_.take(';')) return error("';' and a second action should stand here");
    COLLIE_TRY_VOID(read_part());
    if (!cursor_.take(')')) return error("')' should stand behind the pair's second action");
    if (!cursor_.rest().starts_with(suffix)) return error("OVERLAP_F_B should stand here");
    cursor_.go_to(cursor_.at() + suffix.size());
    return ok_status();
  }
  Status read_part() {
    skip_blanks();
    COLLIE_TRY_VOID(read_action());
    skip_blanks();
    return ok_status();
  }

  Status read_action() {
    const std::size_t begin = cursor_.at();
    Action action;
    COLLIE_TRY(action.stage, read_number("the stage", limits::schedule_stages_max));
    const std::size_t verb_at = cursor_.at();
    const std::string_view word = cursor_.word();
    const auto verb = verb_named(word);
    if (!verb || !is_torch_verb(*verb)) {
      cursor_.go_to(verb_at);
      return error("{} is no verb of torch.distributed.pipelining", quoted_name(word));
    }
    action.verb = *verb;
    if (has_micro_batch(*verb)) {
      COLLIE_TRY(action.micro_batch, read_number("the micro-batch", limits::micro_batches_max));
    } else if (is_digit(cursor_.peek())) {
      return error("{} takes no micro-batch", word);
    }
    return add(action, begin);
  }

  Result<int> read_number(std::string_view what, int count) {
    const std::size_t begin = cursor_.at();
    int value = 0;
    while (is_digit(cursor_.peek()) && value < count) {
      value = value * 10 + (cursor_.peek() - '0');
      cursor_.advance();
    }
    if (cursor_.at() == begin) return error("{} should stand here, a number", what);
    if (value < count) return value;
    cursor_.go_to(begin);
    return error("{} is over {}", what, count - 1);
  }

  Status add(const Action& action, std::size_t begin) {
    const int rank = static_cast<int>(programs().size()) - 1;
    const auto stage = static_cast<std::size_t>(action.stage);
    if (stage >= rank_of_stage_.size()) rank_of_stage_.resize(stage + 1, -1);
    if (rank_of_stage_[stage] < 0) rank_of_stage_[stage] = rank;
    if (rank_of_stage_[stage] != rank) {
      cursor_.go_to(begin);
      return error("stage {} is on rank {} already; a stage has one rank", stage,
                   rank_of_stage_[stage]);
    }
    if (++action_count_ > actions_max_) return error("more than {} actions", actions_max_);
    csv_.has_communication |= is_send_or_receive(action.verb);
    micro_batches_ = std::max(micro_batches_, action.micro_batch + 1);
    programs().back().push_back(action);
    return ok_status();
  }

  Status finish() {
    const int ranks = static_cast<int>(programs().size());
    const auto missing = std::ranges::find(rank_of_stage_, -1);
    if (missing != rank_of_stage_.end()) {
      return make_error(ErrorCode::invalid_file,
                        "{}: stage {} has no action, though stage {} has; a CSV names all stages",
                        file_, missing - rank_of_stage_.begin(), rank_of_stage_.size() - 1);
    }
    const std::size_t units = rank_of_stage_.size() * static_cast<std::size_t>(micro_batches_);
    if (units > limits::schedule_units_max) {
      return make_error(ErrorCode::invalid_file,
                        "{}: {} stages x {} micro-batches; at most {} together are possible", file_,
                        rank_of_stage_.size(), micro_batches_, limits::schedule_units_max);
    }
    auto placement = placed(ranks);
    if (!placement.ok()) {
      return make_error(ErrorCode::invalid_file, "{}: {}", file_, placement.error().message);
    }
    csv_.schedule.placement = std::move(placement).value();
    csv_.schedule.micro_batches = micro_batches_;
    const std::string_view name = file_.substr(file_.rfind('/') + 1);  // npos + 1 is 0
    csv_.schedule.name = name.substr(0, std::min(name.rfind('.'), limits::schedule_name_bytes_max));
    return ok_status();
  }

  // The kind whose table this is.
  Result<Placement> placed(int ranks) {
    const int stages = static_cast<int>(rank_of_stage_.size());
    if (ranks > 0 && stages > 0 && stages % ranks == 0) {
      for (const Placement& known :
           {Placement::looped(ranks, stages / ranks), Placement::wave(ranks, stages / ranks)}) {
        const auto is_there = [&](int stage) {
          return known.rank_of(stage) == rank_of_stage_[static_cast<std::size_t>(stage)];
        };
        int same = 0;
        while (same < stages && is_there(same)) ++same;
        if (same == stages) return known;
      }
    }
    if (stages == 0) return make_error(ErrorCode::invalid_file, "there is no action");
    return Placement::table(ranks, std::move(rank_of_stage_));
  }

  template <class... Args>
  Error error(fmt::format_string<Args...> format, Args&&... args) const {
    return cursor_.error_at(cursor_.at(), "cell {} of rank {}: {}", cell_,
                            csv_.schedule.programs.size() - 1,
                            fmt::format(format, std::forward<Args>(args)...));
  }

  TextCursor cursor_;
  std::string_view file_;
  std::size_t actions_max_;
  std::size_t action_count_ = 0;
  std::size_t cell_ = 1;
  int micro_batches_ = 1;
  std::vector<int> rank_of_stage_;
  TorchCsv csv_;
};

}  // namespace

Result<TorchCsv> parse_torch_csv(std::string_view text, std::string_view file,
                                 std::size_t actions_max) {
  if (text.size() > limits::schedule_bytes_max) {
    return make_error(ErrorCode::invalid_file, "{}: {} bytes; a schedule file has at most {}", file,
                      text.size(), limits::schedule_bytes_max);
  }
  return TorchReader(text, file, actions_max).read();
}

}  // namespace collie
