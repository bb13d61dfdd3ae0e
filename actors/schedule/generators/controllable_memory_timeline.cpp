#include "actors/schedule/generators/controllable_memory_timeline.hpp"

#include <algorithm>

namespace collie {

BlockTimeline::BlockTimeline(const BuildingBlock& block, int micro_batches)
    : ranks_(static_cast<int>(block.size())), micro_batches_(micro_batches), rows_(block.size()) {
  for (std::size_t rank = 0; rank < block.size(); ++rank) {
    rows_[rank].resize(static_cast<std::size_t>(block[rank][input_up]) + 1 +
                       static_cast<std::size_t>(block_period) * (count() - 1));
    for (std::size_t pass = 0; pass < block[rank].size(); ++pass) {
      for (int mb = 0; mb < micro_batches; ++mb) {
        rows_[rank][static_cast<std::size_t>(block[rank][pass] + block_period * mb)] = {
            static_cast<Pass>(pass), mb};
      }
    }
  }
}

void BlockTimeline::put_weights() {
  for (auto& row : rows_) {
    int waiting = 0;
    int done = 0;
    for (Cell& cell : row) {
      if (is_input(cell.pass)) ++waiting;
      if (cell.pass != none || waiting == 0) continue;
      cell = {weight, done++};
      --waiting;
    }
    for (; waiting > 0; --waiting) row.push_back({weight, done++});
  }
}

void BlockTimeline::drop_weights() {
  for (auto& row : rows_) {
    for (Cell& cell : row) {
      if (cell.pass == weight) cell = {};
    }
    while (row.back().pass == none) row.pop_back();
  }
}

template <class Visit>
void BlockTimeline::for_each_in_time(const Visit& visit) {
  std::size_t slots = 0;
  for (const auto& row : rows_) slots = std::max(slots, row.size());
  for (std::size_t slot = 0; slot < slots; ++slot) {
    for (std::size_t rank = 0; rank < rows_.size(); ++rank) {
      if (slot >= rows_[rank].size() || rows_[rank][slot].pass == none) continue;
      visit(static_cast<int>(rank), static_cast<int>(slot));
    }
  }
}

int& BlockTimeline::slot_of(int rank, Cell cell) {
  const std::size_t per_rank = count() * (cell.pass == weight ? 2 : 1);
  return slots_[static_cast<std::size_t>(cell.pass)]
               [static_cast<std::size_t>(rank) * per_rank + static_cast<std::size_t>(cell.index)];
}

void BlockTimeline::locate() {
  for (std::size_t pass = 0; pass < pass_count; ++pass) {
    slots_[pass].assign(rows_.size() * count() * (pass == weight ? 2 : 1), -1);
  }
  for_each_in_time(
      [&](int rank, int slot) { slot_of(rank, row(rank)[static_cast<std::size_t>(slot)]) = slot; });
}

// The slot of the other rank's pass that this one needs; -1: none.
int BlockTimeline::source_slot(int rank, Cell cell) {
  const bool down = cell.pass == forward_down || cell.pass == input_down;
  if (cell.pass == weight || (down ? rank == 0 : rank == ranks_ - 1)) return -1;
  return slot_of(down ? rank - 1 : rank + 1, cell);
}

void BlockTimeline::squeeze() {
  std::vector<std::vector<Cell>> squeezed(rows_.size());
  locate();
  for_each_in_time([&](int rank, int slot) {
    const Cell cell = row(rank)[static_cast<std::size_t>(slot)];
    auto& target = squeezed[static_cast<std::size_t>(rank)];
    const int earliest = std::max(static_cast<int>(target.size()), source_slot(rank, cell) + 1);
    target.resize(static_cast<std::size_t>(earliest) + 1);
    target.back() = cell;
    slot_of(rank, cell) = earliest;
  });
  rows_ = std::move(squeezed);
}

// The slot of a rank's n-th I of either stage: of the n + 1 first ones as many run down the V as
// are not behind those that run up.
int BlockTimeline::nth_input_slot(int rank, int n) {
  int low = std::max(0, n + 1 - micro_batches_);
  int high = std::min(n + 1, micro_batches_);
  while (low < high) {
    const int down = low + (high - low) / 2;
    const bool more = slot_of(rank, {input_down, down}) < slot_of(rank, {input_up, n - down});
    (more ? low : high) = more ? down + 1 : down;
  }
  const int last_down = low > 0 ? slot_of(rank, {input_down, low - 1}) : -1;
  const int last_up = low <= n ? slot_of(rank, {input_up, n - low}) : -1;
  return std::max(last_down, last_up);
}

int BlockTimeline::earliest_slot(int rank, Cell cell) {
  int before = source_slot(rank, cell);
  if (cell.pass == weight) {
    before = nth_input_slot(rank, cell.index);
  } else if (cell.pass != forward_down) {
    const auto previous = static_cast<Pass>(cell.pass - 1);
    before = std::max(before, slot_of(rank, {previous, cell.index}));
  }
  if (cell.index > 0) before = std::max(before, slot_of(rank, {cell.pass, cell.index - 1}));
  return before + 1;
}

void BlockTimeline::reorder(bool with_weights) {
  with_weights_ = with_weights;
  start_memory();
  locate();
  enum { warm_up, steady, cool_down } phase = warm_up;
  for_each_in_time([&](int rank, int slot) {
    const Cell cell = row(rank)[static_cast<std::size_t>(slot)];
    if (phase == warm_up && rank == 0 && cell.pass == input_up) phase = steady;
    if (phase == steady) {
      if (cell.pass == forward_down && cell.index == micro_batches_ - 1) phase = cool_down;
      return;
    }
    if (phase == cool_down || with_weights) move_earlier(rank, slot);
  });
}

// With every W in its place an F goes back no further than to where the peak was last reached.
int BlockTimeline::last_peak_slot(int rank, int slot) const {
  const auto& known = memory_[static_cast<std::size_t>(rank)];
  while (slot > 0 && known[static_cast<std::size_t>(slot)].chunks < peak_) --slot;
  return slot;
}

void BlockTimeline::move_earlier(int rank, int slot) {
  auto& cells = row(rank);
  Cell& old_place = cells[static_cast<std::size_t>(slot)];
  const Cell cell = old_place;
  int earlier = earliest_slot(rank, cell);
  if (with_weights_ && !is_input(cell.pass) && cell.pass != weight) {
    earlier = std::max(earlier, last_peak_slot(rank, slot));
  }
  for (; earlier < slot; ++earlier) {
    Cell& place = cells[static_cast<std::size_t>(earlier)];
    if (place.pass != none) continue;
    place = cell;
    old_place = {};
    if (fits(rank, earlier, slot)) {
      slot_of(rank, cell) = earlier;
      return;
    }
    place = {};
    old_place = cell;
  }
}

BlockTimeline::Memory BlockTimeline::after(Memory memory, Pass pass) const {
  const bool is_weight = with_weights_ ? pass == weight : pass == none && memory.waiting > 0;
  if (pass == forward_down || pass == forward_up) ++memory.chunks;
  if (is_weight) --memory.chunks;
  if (with_weights_) return memory;
  if (is_input(pass)) ++memory.waiting;
  if (is_weight) --memory.waiting;
  return memory;
}

void BlockTimeline::start_memory() {
  peak_ = 0;
  memory_.assign(rows_.size(), {});
  for (std::size_t rank = 0; rank < rows_.size(); ++rank) {
    memory_[rank].resize(rows_[rank].size() + 1);
    for (std::size_t slot = 0; slot < rows_[rank].size(); ++slot) {
      memory_[rank][slot + 1] = after(memory_[rank][slot], rows_[rank][slot].pass);
      peak_ = std::max(peak_, memory_[rank][slot + 1].chunks);
    }
  }
}

// Whether the row, changed in two slots, stays within the peak; then memory_ is brought up to date.
// Behind the later slot nothing changes any more once the two agree.
bool BlockTimeline::fits(int rank, int first, int last) {
  auto& known = memory_[static_cast<std::size_t>(rank)];
  const auto& cells = row(rank);
  updated_.clear();
  auto slot = static_cast<std::size_t>(first);
  Memory memory = known[slot];
  for (; slot < cells.size(); ++slot) {
    if (slot > static_cast<std::size_t>(last) && memory == known[slot]) break;
    memory = after(memory, cells[slot].pass);
    if (memory.chunks > peak_) return false;
    updated_.push_back(memory);
  }
  std::copy(updated_.begin(), updated_.end(), known.begin() + first + 1);
  return true;
}

std::vector<Action> BlockTimeline::program(int rank) const {
  const int lower = rank;
  const int upper = 2 * ranks_ - 1 - rank;
  std::vector<Action> program;
  program.reserve(static_cast<std::size_t>(block_period) * count() + 2);
  std::array<int, 2> inputs = {};   // of the upper stage, of the lower one
  std::array<int, 2> weights = {};  // the upper stage's go first where both wait
  for (const Cell& cell : rows_[static_cast<std::size_t>(rank)]) {
    if (cell.pass == none) continue;
    if (cell.pass == weight) {
      const std::size_t which = weights[0] < inputs[0] ? 0 : 1;
      program.push_back({Verb::backward_weight, which == 0 ? upper : lower, weights[which]++});
      continue;
    }
    const bool on_lower = cell.pass == forward_down || cell.pass == input_up;
    if (is_input(cell.pass)) ++inputs[on_lower ? 1 : 0];
    program.push_back({is_input(cell.pass) ? Verb::backward_input : Verb::forward,
                       on_lower ? lower : upper, cell.index});
  }
  return program;
}

}  // namespace collie
