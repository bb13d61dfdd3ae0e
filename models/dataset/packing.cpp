#include "models/dataset/packing.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <queue>

namespace collie {
namespace {

// Rows that still have room, by the room they have; of equals the first opened comes first.
class OpenRows {
 public:
  struct Found {
    std::int64_t row = -1;  // -1: no row has enough room
    std::int64_t room = 0;
  };

  // Removes the row with the least room that is enough.
  Found take(std::int64_t slots) {
    const auto room = rows_.lower_bound(slots);
    if (room == rows_.end()) return {};
    const Found found{room->second.top(), room->first};
    room->second.pop();
    if (room->second.empty()) rows_.erase(room);
    return found;
  }

  void put(std::int64_t row, std::int64_t room) {
    if (room > 0) rows_[room].push(row);
  }

 private:
  using Heap =
      std::priority_queue<std::int64_t, std::vector<std::int64_t>, std::greater<std::int64_t>>;
  std::map<std::int64_t, Heap> rows_;
};

// Groups the pieces by their row, keeping the order in which they were placed.
RowPlan group(std::span<const Piece> pieces, const std::vector<std::size_t>& order,
              const std::vector<std::int64_t>& row_of_placed, std::int64_t row_count) {
  RowPlan plan;
  plan.row_begin.assign(static_cast<std::size_t>(row_count) + 1, 0);
  for (const std::int64_t row : row_of_placed) ++plan.row_begin[static_cast<std::size_t>(row) + 1];
  std::partial_sum(plan.row_begin.begin(), plan.row_begin.end(), plan.row_begin.begin());
  std::vector<std::int64_t> next(plan.row_begin.begin(), plan.row_begin.end() - 1);
  plan.pieces.resize(pieces.size());
  for (std::size_t placed = 0; placed < order.size(); ++placed) {
    const auto row = static_cast<std::size_t>(row_of_placed[placed]);
    plan.pieces[static_cast<std::size_t>(next[row]++)] = pieces[order[placed]];
  }
  return plan;
}

}  // namespace

void cut_document(std::int64_t begin, std::int64_t end, std::int64_t sequence_length,
                  std::vector<Piece>& pieces) {
  for (std::int64_t at = begin; at < end - 1; at += sequence_length) {
    pieces.push_back({at, std::min(sequence_length, end - 1 - at)});
  }
}

namespace {

RowPlan pack_window(std::span<const Piece> pieces, std::int64_t sequence_length) {
  std::vector<std::size_t> order(pieces.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t left, std::size_t right) {
    return pieces[left].slots > pieces[right].slots;
  });
  OpenRows open;
  std::vector<std::int64_t> row_of_placed;
  row_of_placed.reserve(order.size());
  std::int64_t row_count = 0;
  for (const std::size_t index : order) {
    const std::int64_t slots = pieces[index].slots;
    COLLIE_CHECK(slots >= 1 && slots <= sequence_length, "a piece of {} slots in rows of {}", slots,
                 sequence_length);
    auto [row, room] = open.take(slots);
    if (row < 0) {
      row = row_count++;
      room = sequence_length;
    }
    open.put(row, room - slots);
    row_of_placed.push_back(row);
  }
  return group(pieces, order, row_of_placed, row_count);
}

void append_plan(RowPlan&& part, RowPlan& plan) {
  const auto offset = static_cast<std::int64_t>(plan.pieces.size());
  plan.pieces.insert(plan.pieces.end(), part.pieces.begin(), part.pieces.end());
  for (std::size_t row = 1; row < part.row_begin.size(); ++row) {
    plan.row_begin.push_back(offset + part.row_begin[row]);
  }
}

}  // namespace

RowPlan pack_rows(std::span<const Piece> pieces, std::int64_t sequence_length,
                  std::int64_t window) {
  if (window == 0) return pack_window(pieces, sequence_length);
  RowPlan plan;
  plan.pieces.reserve(pieces.size());
  const auto size = static_cast<std::size_t>(window);
  for (std::size_t begin = 0; begin < pieces.size(); begin += size) {
    const auto part = pieces.subspan(begin, std::min(size, pieces.size() - begin));
    append_plan(pack_window(part, sequence_length), plan);
  }
  return plan;
}

RowPlan single_rows(std::span<const Piece> pieces) {
  RowPlan plan;
  plan.pieces.assign(pieces.begin(), pieces.end());
  plan.row_begin.resize(pieces.size() + 1);
  std::iota(plan.row_begin.begin(), plan.row_begin.end(), std::int64_t{0});
  return plan;
}

}  // namespace collie
