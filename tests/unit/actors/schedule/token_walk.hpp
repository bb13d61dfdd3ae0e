// Executes a schedule's compute programs on tokens, slowly and by other means than the validator:
// no lowering, no index, no event graph. For tests.
#pragma once

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "actors/schedule/schedule.hpp"

namespace collie {

class TokenWalk {
 public:
  explicit TokenWalk(const Schedule& schedule)
      : schedule_(schedule), states_(schedule.programs.size()) {}

  // Empty if all actions can happen and every unit is whole.
  std::string problem() {
    for (bool moves = true; moves;) {
      moves = false;
      for (std::size_t rank = 0; rank < states_.size(); ++rank) {
        while (advance(static_cast<int>(rank))) moves = true;
        if (!error_.empty()) return error_;
      }
    }
    for (std::size_t rank = 0; rank < states_.size(); ++rank) {
      if (states_[rank].cursor < schedule_.programs[rank].size()) {
        return fmt::format("rank {} is stuck at {}", rank,
                           to_string(schedule_.programs[rank][states_[rank].cursor]));
      }
    }
    return incomplete();
  }

 private:
  using Unit = std::tuple<int, int, int, int>;         // stage, micro-batch, slice, direction
  using Token = std::tuple<char, int, int, int, int>;  // value, and the unit that made it
  struct Mailbox {
    std::set<Token> held;
  };
  enum class Phase { take, compute, hand_over };
  struct State {
    std::size_t cursor = 0;
    Phase phase = Phase::take;
    bool offers = false;  // rendezvous: stands at a send
  };

  static Unit unit_of(const Action& a) { return {a.stage, a.micro_batch, a.slice, a.direction}; }
  static Token token(char value, const Action& a, int stage) {
    return {value, stage, a.micro_batch, a.slice, a.direction};
  }

  bool advance(int rank) {
    State& state = states_[static_cast<std::size_t>(rank)];
    const auto& program = schedule_.programs[static_cast<std::size_t>(rank)];
    if (state.cursor == program.size() || !error_.empty()) return false;
    const Action& action = program[state.cursor];
    if (action.verb == Verb::step) return next(state);
    if (schedule_.placement.rank_of(action.stage, action.direction) != rank) {
      error_ = fmt::format("{} on rank {}", to_string(action), rank);
      return false;
    }
    if (state.phase == Phase::take) return take(rank, action, state);
    if (state.phase == Phase::compute) return compute(action, state);
    return hand_over(rank, action, state);
  }

  static bool next(State& state) {
    ++state.cursor;
    state.phase = Phase::take;
    return true;
  }

  bool take(int rank, const Action& action, State& state) {
    const bool is_forward = action.verb == Verb::forward;
    const int source = action.stage + (is_forward ? -1 : 1);
    const bool reads = is_forward || makes_input_gradient(action.verb);
    if (reads && source >= 0 && source < schedule_.stages()) {
      const Token wanted = token(is_forward ? 'F' : 'I', action, source);
      const int from = schedule_.placement.rank_of(source, action.direction);
      if (from != rank && !receive(from, rank, wanted)) return false;
      if (from == rank && !made_.contains(wanted)) return refuse(action, "input is not made");
    }
    state.phase = Phase::compute;
    return true;
  }

  bool receive(int from, int to, const Token& wanted) {
    if (schedule_.channel.credit > 0) return mailboxes_[{from, to}].held.erase(wanted) == 1;
    if (offers_[{from, to}] != wanted) return false;
    offers_.erase({from, to});
    State& sender = states_[static_cast<std::size_t>(from)];
    sender.offers = false;
    return next(sender);
  }

  bool compute(const Action& action, State& state) {
    const auto made = [&](char value) {
      return made_.contains(token(value, action, action.stage));
    };
    const auto slice_made = [&](char value, int slice) {
      Action other = action;
      other.slice = static_cast<short>(slice);
      return made_.contains(token(value, other, other.stage));
    };
    const bool is_input = makes_input_gradient(action.verb);
    if (action.verb == Verb::forward) {
      if (made('F')) return refuse(action, "twice");
      if (action.slice > 0 && !slice_made('F', action.slice - 1)) return refuse(action, "slices");
      made_.insert(token('F', action, action.stage));
    }
    if (is_input) {
      if (made('I')) return refuse(action, "twice");
      if (!made('F')) return refuse(action, "no forward");
      const bool is_last = action.slice + 1 == schedule_.slices;
      if (!is_last && !slice_made('I', action.slice + 1)) return refuse(action, "slices");
      made_.insert(token('I', action, action.stage));
    }
    if (makes_weight_gradient(action.verb)) {
      if (made('W')) return refuse(action, "twice");
      if (!made('I')) return refuse(action, "no input gradient");
      made_.insert(token('W', action, action.stage));
    }
    state.phase = Phase::hand_over;
    return true;
  }

  bool hand_over(int rank, const Action& action, State& state) {
    const bool is_forward = action.verb == Verb::forward;
    const int target = action.stage + (is_forward ? 1 : -1);
    const bool writes = is_forward || makes_input_gradient(action.verb);
    if (!writes || target < 0 || target >= schedule_.stages()) return next(state);
    const int to = schedule_.placement.rank_of(target, action.direction);
    if (to == rank) return next(state);
    const Token value = token(is_forward ? 'F' : 'I', action, action.stage);
    if (schedule_.channel.credit == 0) {
      if (!state.offers) offers_[{rank, to}] = value;
      return std::exchange(state.offers, true) == false;
    }
    std::set<Token>& held = mailboxes_[{rank, to}].held;
    if (static_cast<int>(held.size()) >= schedule_.channel.credit) return false;
    held.insert(value);
    return next(state);
  }

  bool refuse(const Action& action, std::string_view why) {
    error_ = fmt::format("{}: {}", to_string(action), why);
    return false;
  }

  std::string incomplete() const {
    for (int stage = 0; stage < schedule_.stages(); ++stage) {
      for (int mb = 0; mb < schedule_.micro_batches; ++mb) {
        for (int slice = 0; slice < schedule_.slices; ++slice) {
          for (const char value : {'F', 'I', 'W'}) {
            if (made_.contains({value, stage, mb, slice, 0}) !=
                made_.contains({value, stage, mb, slice, 1})) {
              continue;
            }
            return fmt::format("stage {} micro-batch {} lacks {}", stage, mb, value);
          }
        }
      }
    }
    return "";
  }

  const Schedule& schedule_;
  std::vector<State> states_;
  std::set<Token> made_;
  std::map<std::pair<int, int>, Mailbox> mailboxes_;
  std::map<std::pair<int, int>, Token> offers_;
  std::string error_;
};

}  // namespace collie
