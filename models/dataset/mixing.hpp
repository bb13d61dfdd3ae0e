// Which of several weighted sources gives the row at a place of the endless sequence of rows. There
// is no cursor: the answer is a function of (weights, seed, place).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace collie {

// Every source rises on a staircase: after t ticks it has given floor((t * w + phase) / 2^32) rows,
// w being its share of 2^32 and the phase a hash of the seed. A tick yields one row on average;
// rows of one tick follow each other in the order of the sources. So after any number of places n
// a source has given n times its share, give or take less than 2 + the number of sources, and the
// k-th row that it gives follows its (k - 1)-th: nothing is left out, nothing comes twice.
class MixSchedule {
 public:
  struct Draw {
    std::size_t source = 0;
    std::int64_t index = 0;  // rows that this source gave before
  };

  // weights > 0, at least one. A share below 2^-32 counts as 2^-32.
  MixSchedule(std::span<const double> weights, std::uint64_t seed);

  Draw at(std::int64_t place) const;
  // Rows of each source among the first `places`.
  std::vector<std::int64_t> counts(std::int64_t places) const;
  // Its share of 2^32.
  std::uint64_t share(std::size_t source) const { return shares_[source]; }

 private:
  struct Tick {
    std::int64_t periods = 0;  // of 2^32 ticks
    std::uint64_t tick = 0;    // within the period, at most 2^32
    std::int64_t behind = 0;   // places of this tick that come before the one asked for
  };
  std::uint64_t given(std::size_t source, std::uint64_t tick) const;
  std::uint64_t all_given(std::uint64_t tick) const;
  Tick tick_of(std::int64_t place) const;

  std::vector<std::uint64_t> shares_;  // their sum is 2^32
  std::vector<std::uint64_t> phases_;  // below 2^32
};

}  // namespace collie
