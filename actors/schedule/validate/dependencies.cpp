#include "actors/schedule/lowering.hpp"
#include "actors/schedule/validate/checks.hpp"

namespace collie::checks {

namespace {

// The order of actions that one rank has to keep.
class Order {
 public:
  Order(const Subject& subject, ActionPlace place)
      : subject_(subject), place_(place), action_(at(subject.schedule, place)) {}

  Found check() {
    const UnitPlaces& mine = subject_.index.unit(action_);
    switch (action_.verb) {
      case Verb::forward:
        after(neighbour(-1, 0).forward, "the stage before it");
        if (action_.slice > 0) after(neighbour(0, -1).forward, "the slice before it");
        break;
      case Verb::backward:
      case Verb::backward_input:
        after(mine.forward, "its forward");
        check_input();
        break;
      case Verb::backward_weight:
        after(mine.input, "its input gradient");
        break;
      case Verb::recompute:
        after(mine.forward, "its forward");
        before(mine.input, "its backward");
        break;
      case Verb::send_activation:
        after(mine.forward, "what makes its value");
        break;
      case Verb::send_gradient:
        after(mine.input, "what makes its value");
        break;
      default:
        break;
    }
    return std::move(found_);
  }

 private:
  void check_input() {
    after(neighbour(1, 0).input, "the stage behind it");
    if (action_.slice + 1 < subject_.schedule.slices) {
      after(neighbour(0, 1).input, "the slice behind it (slices go back from the last)");
    }
  }

  const UnitPlaces& neighbour(int stages, int slices) const {
    static const UnitPlaces nowhere;
    const int stage = action_.stage + stages;
    if (stage < 0 || stage >= subject_.schedule.stages()) return nowhere;
    return subject_.index.unit(stage, action_.micro_batch, action_.slice + slices,
                               action_.direction);
  }

  void after(ActionPlace other, std::string_view why) {
    if (found_ || other.rank != place_.rank || other.position < place_.position) return;
    found_ = violation(Invariant::dependencies, "{}, before {} (action {}), {}: swap them",
                       describe(subject_.schedule, place_), to_string(at(subject_.schedule, other)),
                       other.position + 1, why);
  }

  void before(ActionPlace other, std::string_view why) {
    if (found_ || other.rank != place_.rank || other.position > place_.position) return;
    found_ = violation(Invariant::dependencies, "{}, behind {} (action {}), {}: swap them",
                       describe(subject_.schedule, place_), to_string(at(subject_.schedule, other)),
                       other.position + 1, why);
  }

  const Subject& subject_;
  ActionPlace place_;
  const Action& action_;
  Found found_;
};

}  // namespace

Found dependencies(const Subject& subject) {
  for (std::size_t rank = 0; rank < subject.schedule.programs.size(); ++rank) {
    const std::vector<Action>& program = subject.schedule.programs[rank];
    for (std::size_t i = 0; i < program.size(); ++i) {
      if (!has_micro_batch(program[i].verb)) continue;
      const ActionPlace place{static_cast<int>(rank), static_cast<int>(i)};
      if (Found found = Order(subject, place).check()) return found;
    }
  }
  return std::nullopt;
}

}  // namespace collie::checks
