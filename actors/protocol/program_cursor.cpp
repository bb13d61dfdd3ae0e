#include "actors/protocol/program_cursor.hpp"

#include <algorithm>
#include <iterator>

namespace collie {

namespace {

// The actions that are work on the stream.
std::vector<Action> walked(const std::vector<Action>& program, bool walks_steps) {
  std::vector<Action> actions;
  std::ranges::copy_if(program, std::back_inserter(actions), [&](const Action& action) {
    switch (action.verb) {
      case Verb::recompute:
      case Verb::predict:
      case Verb::fence:
        return true;
      default:
        return is_computed(action.verb) || (walks_steps && action.verb == Verb::step);
    }
  });
  return actions;
}

}  // namespace

ProgramCursor::ProgramCursor(std::vector<HostedStage> hosted, int ranks,
                             const std::vector<Action>& program, int credit, bool walks_steps,
                             Policy policy)
    : hosted_(std::move(hosted)),
      ranks_(ranks),
      train_program_(walked(program, walks_steps)),
      credit_(credit),
      credits_(hosted_.size(), Credits{credit, credit}),
      policy_(std::move(policy)) {
  for (const Action& action : train_program_) {
    hosted_index(action);
    if (action.verb == Verb::recompute) recomputed_.insert(unit_of(action));
  }
}

std::size_t ProgramCursor::hosted_index(const Action& action) const {
  if (action.verb == Verb::fence) return 0;
  for (std::size_t index = 0; index < hosted_.size(); ++index) {
    const HostedStage& hosted = hosted_[index];
    if (hosted.stage == action.stage && hosted.direction == action.direction) return index;
  }
  COLLIE_CHECK(false, "{} is of a stage that this rank does not hold", to_string(action));
  return 0;
}

void ProgramCursor::begin_round(Mode mode, std::uint32_t round, int micro_batches) {
  round_ = round;
  position_ = 0;
  // All messages of the round before were consumed when it ended, so every link is empty.
  std::ranges::fill(credits_, Credits{credit_, credit_});
  program_ = mode == Mode::train ? train_program_ : evaluation(micro_batches);
  decides_ = mode == Mode::train && policy_.decides();
  if (decides_) choice_ = PolicyChoice(policy_, program_);
}

void ProgramCursor::keep_units(int count) {
  std::erase_if(program_, [count](const Action& action) {
    return action.verb != Verb::fence && action.micro_batch >= count;
  });
  if (decides_) choice_ = PolicyChoice(policy_, program_);
}

// Forwards in groups of as many micro-batches as there are ranks: with several stages on a rank a
// group has come round the pipeline just when its first stage is through with it.
std::vector<Action> ProgramCursor::evaluation(int micro_batches) const {
  std::vector<Action> actions;
  for (int first = 0; first < micro_batches; first += ranks_) {
    for (const HostedStage& hosted : hosted_) {
      for (int mb = first; mb < std::min(first + ranks_, micro_batches); ++mb) {
        actions.push_back({.verb = Verb::forward,
                           .stage = hosted.stage,
                           .micro_batch = mb,
                           .direction = static_cast<signed char>(hosted.direction)});
      }
    }
  }
  return actions;
}

std::optional<Action> ProgramCursor::startable(std::span<const Inbox> inboxes) const {
  if (decides_) {
    const Choice* choice =
        choice_.choose([&](const Choice& next) { return may_start(next.action, inboxes); });
    return choice == nullptr ? std::nullopt : std::optional(choice->action);
  }
  if (finished() || !may_start(program_[position_], inboxes)) return std::nullopt;
  return program_[position_];
}

void ProgramCursor::started(const Action& action) {
  const std::size_t index = hosted_index(action);
  if (decides_) {
    choice_.started(action);
    program_[position_] = action;  // the record of what was chosen
  }
  COLLIE_CHECK(!finished() && program_[position_] == action, "{} is not the next action",
               to_string(action));
  ++position_;
  if (sends_activation(action) && !hosted_[index].next_is_here) --credits_[index].activation;
  if (sends_gradient(action) && !hosted_[index].previous_is_here) --credits_[index].gradient;
}

bool ProgramCursor::may_start(const Action& action, std::span<const Inbox> inboxes) const {
  const std::size_t index = hosted_index(action);
  const Inbox& inbox = inboxes[index];
  const Credits& credits = credits_[index];
  const auto mb = static_cast<std::uint32_t>(action.micro_batch);
  const bool reads_tokens = action.verb == Verb::forward;
  if (reads_tokens && !inbox.has(tokens_key(round_, mb))) return false;
  if (takes_activation(action) && !inbox.has(activation_key(round_, mb))) return false;
  if (takes_gradient(action) && !inbox.has(gradient_key(round_, mb))) return false;
  if (sends_activation(action) && credits.activation == 0) return false;
  return !sends_gradient(action) || credits.gradient > 0;
}

void ProgramCursor::give_credit(std::size_t hosted, Link link) {
  ++(link == Link::activation ? credits_[hosted].activation : credits_[hosted].gradient);
}

int ProgramCursor::credit_left(std::size_t hosted, Link link) const {
  return link == Link::activation ? credits_[hosted].activation : credits_[hosted].gradient;
}

bool ProgramCursor::takes_activation(const Action& action) const {
  return action.verb == Verb::forward && !stage_of(action).is_first;
}

bool ProgramCursor::sends_activation(const Action& action) const {
  return action.verb == Verb::forward && !stage_of(action).is_last;
}

bool ProgramCursor::takes_gradient(const Action& action) const {
  return makes_input_gradient(action.verb) && !stage_of(action).is_last;
}

bool ProgramCursor::sends_gradient(const Action& action) const {
  return makes_input_gradient(action.verb) && !stage_of(action).is_first;
}

std::string ProgramCursor::describe() const {
  if (decides_) return fmt::format("one of {} actions left", program_.size() - position_);
  const Action& next = program_[position_];
  const Credits& credits = credits_[hosted_index(next)];
  return fmt::format("{} (activation credit {}, gradient credit {})", to_string(next),
                     credits.activation, credits.gradient);
}

}  // namespace collie
