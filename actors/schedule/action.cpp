#include "actors/schedule/action.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace collie {

namespace {

constexpr std::array<std::string_view, verb_count> letters = {
    "F",       "I",       "W",           "B",           "R",
    "STEP",    "PIN",     "DROP",        "PREDICT",     "FENCE",
    "SEND_F",  "RECV_F",  "SEND_B",      "RECV_B",      "REDUCE_GRAD",
    "UNSHARD", "RESHARD", "WAIT_SEND_F", "WAIT_SEND_B", "WAIT_REDUCE_GRAD"};

}  // namespace

std::string_view letter(Verb verb) {
  return letters.at(static_cast<std::size_t>(verb));
}

std::optional<Verb> verb_named(std::string_view name) {
  const auto found = std::ranges::find(letters, name);
  if (found == letters.end()) return std::nullopt;
  return static_cast<Verb>(found - letters.begin());
}

bool has_micro_batch(Verb verb) {
  switch (verb) {
    case Verb::step:
    case Verb::pin:
    case Verb::drop:
    case Verb::predict:
    case Verb::fence:
    case Verb::all_reduce:
    case Verb::unshard:
    case Verb::reshard:
    case Verb::wait_all_reduce:
      return false;
    default:
      return true;
  }
}

bool is_computed(Verb verb) {
  return verb == Verb::forward || makes_input_gradient(verb) || makes_weight_gradient(verb);
}

bool makes_input_gradient(Verb verb) {
  return verb == Verb::backward_input || verb == Verb::backward;
}

bool makes_weight_gradient(Verb verb) {
  return verb == Verb::backward_weight || verb == Verb::backward;
}

std::string to_string(const Action& action) {
  const std::string_view direction = action.direction == 0 ? "" : "~";
  const bool has_horizon = action.verb == Verb::predict && action.micro_batch != 0;
  if (action.verb == Verb::pin || action.verb == Verb::drop || has_horizon) {
    return fmt::format("{}{}.{}{}", letter(action.verb), action.stage, action.micro_batch,
                       direction);
  }
  if (action.verb == Verb::fence) return "FENCE";
  if (!has_micro_batch(action.verb)) {
    return fmt::format("{}{}{}", letter(action.verb), action.stage, direction);
  }
  const std::string slice = action.slice == 0 ? "" : fmt::format(".{}", action.slice);
  return fmt::format("{}{}{}{}{}", action.stage, letter(action.verb), action.micro_batch, slice,
                     direction);
}

}  // namespace collie
