#include "actors/protocol/program_cursor.hpp"

#include <algorithm>
#include <iterator>

namespace collie {

namespace {

std::vector<Action> without_step(const std::vector<Action>& program) {
  std::vector<Action> actions;
  std::ranges::copy_if(program, std::back_inserter(actions),
                       [](const Action& action) { return action.verb != Verb::step; });
  return actions;
}

}  // namespace

ProgramCursor::ProgramCursor(StagePosition placement, const std::vector<Action>& program,
                             int credit)
    : placement_(placement),
      train_program_(without_step(program)),
      credit_(credit),
      activation_credit_(credit),
      gradient_credit_(credit) {}

void ProgramCursor::begin_round(Mode mode, std::uint32_t round, int micro_batches) {
  round_ = round;
  position_ = 0;
  // All messages of the round before were consumed when it ended, so every link is empty.
  activation_credit_ = credit_;
  gradient_credit_ = credit_;
  if (mode == Mode::train) {
    program_ = train_program_;
    return;
  }
  program_.clear();
  for (int mb = 0; mb < micro_batches; ++mb) {
    program_.push_back({Verb::forward, placement_.stage, mb});
  }
}

std::optional<Action> ProgramCursor::startable(const Inbox& inbox) const {
  if (finished() || !may_start(program_[position_], inbox)) return std::nullopt;
  return program_[position_];
}

void ProgramCursor::started(const Action& action) {
  COLLIE_CHECK(!finished() && program_[position_] == action, "{} is not the next action",
               to_string(action));
  ++position_;
  if (sends_activation(action)) --activation_credit_;
  if (sends_gradient(action)) --gradient_credit_;
}

bool ProgramCursor::may_start(const Action& action, const Inbox& inbox) const {
  const auto mb = static_cast<std::uint32_t>(action.micro_batch);
  const bool reads_tokens = action.verb == Verb::forward;
  if (reads_tokens && !inbox.has(tokens_key(round_, mb))) return false;
  if (takes_activation(action) && !inbox.has(activation_key(round_, mb))) return false;
  if (takes_gradient(action) && !inbox.has(gradient_key(round_, mb))) return false;
  if (sends_activation(action) && activation_credit_ == 0) return false;
  return !sends_gradient(action) || gradient_credit_ > 0;
}

void ProgramCursor::give_credit(Link link) {
  ++(link == Link::activation ? activation_credit_ : gradient_credit_);
}

int ProgramCursor::credit_left(Link link) const {
  return link == Link::activation ? activation_credit_ : gradient_credit_;
}

bool ProgramCursor::takes_activation(const Action& action) const {
  return action.verb == Verb::forward && action.stage > 0;
}

bool ProgramCursor::sends_activation(const Action& action) const {
  return action.verb == Verb::forward && action.stage < placement_.stages - 1;
}

bool ProgramCursor::takes_gradient(const Action& action) const {
  return makes_input_gradient(action.verb) && action.stage < placement_.stages - 1;
}

bool ProgramCursor::sends_gradient(const Action& action) const {
  return makes_input_gradient(action.verb) && action.stage > 0;
}

std::string ProgramCursor::describe() const {
  return fmt::format("{} (activation credit {}, gradient credit {})",
                     to_string(program_[position_]), activation_credit_, gradient_credit_);
}

}  // namespace collie
