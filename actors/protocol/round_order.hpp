// Which round a rank begins next when rounds may overlap by one: beginnings are kept until their
// turn, and a round that was given up never comes. Pure.
#pragma once

#include <map>
#include <optional>

#include "actors/messages.hpp"

namespace collie {

class RoundOrder {
 public:
  // Old, repeated and given-up ones are dropped.
  void hear(const BeginRound& begin);
  // The round is given up; true the first time.
  bool give_up(std::uint32_t round);
  bool is_given_up(const Stamp& stamp) const { return given_up_ != 0 && stamp.round == given_up_; }
  // The round to begin now, if there is one. current: the last that was begun and not given up;
  // ended: it is over here; updated: all but its validation is.
  std::optional<BeginRound> take_next(std::uint32_t current, bool ended, bool updated);

 private:
  std::map<std::uint32_t, BeginRound> waiting_;
  std::uint32_t last_ = 0;      // that was taken
  std::uint32_t given_up_ = 0;  // the last; no two are under way at once
};

}  // namespace collie
