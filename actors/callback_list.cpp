#include "actors/callback_list.hpp"

#include <algorithm>

namespace collie {

void CallbackList::tell_trained() const {
  for (const auto& callback : all_) callback->on_trained();
}

void CallbackList::tell_note(std::string_view line) const {
  for (const auto& callback : all_) callback->on_note(line);
}

NonFiniteAction CallbackList::ask_non_finite(std::int64_t step, const Error& error) const {
  NonFiniteAction decided = NonFiniteAction::none;
  for (const auto& callback : all_) {
    const NonFiniteAction action = callback->on_non_finite(step, error);
    if (decided == NonFiniteAction::none) decided = action;
  }
  return decided == NonFiniteAction::none ? NonFiniteAction::fail : decided;
}

bool CallbackList::reads_parameters_after(std::int64_t step) const {
  return std::ranges::any_of(
      all_, [&](const auto& callback) { return callback->reads_parameters_after(step); });
}

Json CallbackList::states() const {
  Json states = Json::object();
  for (const auto& callback : all_) {
    Json state = callback->on_save_checkpoint();
    if (!callback->name().empty() && !state.is_null()) {
      states[std::string(callback->name())] = std::move(state);
    }
  }
  return states;
}

Status introduce(Callback& callback, const RunInfo& info, RunControl& control,
                 const LoadEvent& loaded, const Json& states) {
  callback.on_setup(info, control);
  if (!loaded.model.empty() || !loaded.checkpoint.empty()) callback.on_load_model(loaded);
  if (!loaded.checkpoint.empty()) {
    const auto state = states.find(std::string(callback.name()));
    const bool has_state = !callback.name().empty() && state != states.end();
    COLLIE_TRY_VOID(callback.on_load_checkpoint(has_state ? *state : Json()));
  }
  callback.on_initialized(info);
  return ok_status();
}

}  // namespace collie
