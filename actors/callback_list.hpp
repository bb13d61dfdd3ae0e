// The callbacks of a run, told together.
#pragma once

#include <memory>
#include <vector>

#include "actors/callback.hpp"

namespace collie {

class CallbackList {
 public:
  void add(std::shared_ptr<Callback> callback) { all_.push_back(std::move(callback)); }
  void add_first(std::shared_ptr<Callback> callback) {
    all_.insert(all_.begin(), std::move(callback));
  }

  template <class Event>
  void tell(void (Callback::*hook)(const Event&), const Event& event) const {
    for (const auto& callback : all_) (callback.get()->*hook)(event);
  }
  void tell_trained() const;
  void tell_note(std::string_view line) const;
  // The first that knows what to do decides; fail where none does. All are asked.
  NonFiniteAction ask_non_finite(std::int64_t step, const Error& error) const;
  bool reads_parameters_after(std::int64_t step) const;

  // By name, of those that keep something.
  Json states() const;

 private:
  std::vector<std::shared_ptr<Callback>> all_;
};

// Everything a callback is told once. states: of the checkpoint that the run goes on from.
Status introduce(Callback& callback, const RunInfo& info, RunControl& control,
                 const LoadEvent& loaded, const Json& states);

}  // namespace collie
