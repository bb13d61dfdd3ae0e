// The slots of a schedule on a V that grows from one repeated building block (Qi et al., "Pipeline
// Parallelism with Controllable Memory", NeurIPS 2024). Slots are of equal length: costs decide no
// order here.
#pragma once

#include <array>
#include <vector>

#include "actors/schedule/action.hpp"

namespace collie {

// How many slots the two F, two I and two W take that a rank does for a micro-batch.
inline constexpr int block_period = 6;

// Slots of micro-batch 0 on each rank: F and F, I and I, down and up the V. No two of a rank may be
// equal modulo block_period.
using BuildingBlock = std::vector<std::array<int, 4>>;

class BlockTimeline {
 public:
  // The block once per micro-batch, block_period slots apart, without W.
  BlockTimeline(const BuildingBlock& block, int micro_batches);

  // W in the free slots, as soon as there is one to do.
  void put_weights();
  void drop_weights();

  // Each pass as early as its rank's order and its input allow.
  void squeeze();

  // Moves passes before the first micro-batch's last one (only with_weights) and behind the last
  // micro-batch's first one into earlier free slots, while no rank's peak grows beyond the highest
  // there is. with_weights: W has been put; else free slots count as W's.
  void reorder(bool with_weights);

  // A rank's passes in order, as actions; needs W.
  std::vector<Action> program(int rank) const;

 private:
  // In the order in which they depend on each other. W goes by its count on the rank until the end,
  // when it takes the stage's next micro-batch.
  enum Pass : signed char { none = -1, forward_down, forward_up, input_down, input_up, weight };
  static constexpr std::size_t pass_count = 5;

  struct Cell {
    Pass pass = none;
    int index = 0;  // micro-batch; of W: how many came before
  };
  // Activations held before a slot, and W that could be done.
  struct Memory {
    int chunks = 0;
    int waiting = 0;
    bool operator==(const Memory&) const = default;
  };

  static bool is_input(Pass pass) { return pass == input_down || pass == input_up; }
  std::size_t count() const { return static_cast<std::size_t>(micro_batches_); }
  std::vector<Cell>& row(int rank) { return rows_[static_cast<std::size_t>(rank)]; }
  int& slot_of(int rank, Cell cell);
  // Calls visit(rank, slot) for each pass, slot by slot. Passes may move to earlier slots
  // meanwhile.
  template <class Visit>
  void for_each_in_time(const Visit& visit);
  void locate();
  int source_slot(int rank, Cell cell);
  int nth_input_slot(int rank, int n);
  int earliest_slot(int rank, Cell cell);
  int last_peak_slot(int rank, int slot) const;
  void move_earlier(int rank, int slot);
  Memory after(Memory memory, Pass pass) const;
  void start_memory();
  bool fits(int rank, int first, int last);

  int ranks_;
  int micro_batches_;
  std::vector<std::vector<Cell>> rows_;
  std::array<std::vector<int>, pass_count> slots_;  // [pass][rank][index], by locate()
  bool with_weights_ = false;
  int peak_ = 0;
  std::vector<std::vector<Memory>> memory_;  // [rank][slot]: before it
  std::vector<Memory> updated_;
};

}  // namespace collie
