#include "actors/schedule/action_index.hpp"

namespace collie {

ActionIndex::ActionIndex(const Schedule& schedule)
    : stages_(schedule.stages()),
      micro_batches_(schedule.micro_batches),
      slices_(schedule.slices),
      direction_count_(schedule.placement.directions()),
      units_(static_cast<std::size_t>(stages_) * static_cast<std::size_t>(micro_batches_) *
             static_cast<std::size_t>(slices_) * static_cast<std::size_t>(direction_count_)),
      directions_(static_cast<std::size_t>(micro_batches_), -1) {
  for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
    const std::vector<Action>& program = schedule.programs[rank];
    for (std::size_t position = 0; position < program.size(); ++position) {
      add(program[position], {static_cast<int>(rank), static_cast<int>(position)});
    }
  }
}

void ActionIndex::add(const Action& action, ActionPlace place) {
  const auto within = [](int value, int end) { return value >= 0 && value < end; };
  const bool is_in_range =
      within(action.stage, stages_) && within(action.direction, direction_count_) &&
      (!has_micro_batch(action.verb) ||
       (within(action.micro_batch, micro_batches_) && within(action.slice, slices_)));
  if (!is_in_range) {
    if (!out_of_range_.exists()) out_of_range_ = place;
    return;
  }
  if (!has_micro_batch(action.verb)) return;
  signed char& direction = directions_[static_cast<std::size_t>(action.micro_batch)];
  if (direction < 0) direction = action.direction;
  UnitPlaces& unit = units_[key(action.stage, action.micro_batch, action.slice, action.direction)];
  const auto set = [&](ActionPlace& slot) {
    if (slot.exists()) {
      if (!repeated_.exists()) repeated_ = place;
      return;
    }
    slot = place;
  };
  if (action.verb == Verb::forward) set(unit.forward);
  if (makes_input_gradient(action.verb)) set(unit.input);
  if (makes_weight_gradient(action.verb)) set(unit.weight);
}

}  // namespace collie
