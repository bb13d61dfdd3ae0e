// Parameters: what falls to each of several replicas, and windows onto what is not kept.
#include <algorithm>

#include "kernels/elementwise.hpp"
#include "models/parameters.hpp"

namespace collie {

namespace {

struct Piece {
  StoreRange range;
  std::int64_t weight = 0;  // elements of the whole parameters, on all tensor shards
  bool is_tied = false;     // the table that first and last stage both hold
};

// How many shares of at most `most` it takes.
std::size_t shares_needed(const std::vector<Piece>& pieces, std::int64_t most) {
  std::size_t shares = 1;
  std::int64_t filled = 0;
  for (const Piece& piece : pieces) {
    if (filled + piece.weight > most) {
      ++shares;
      filled = 0;
    }
    filled += piece.weight;
  }
  return shares;
}

// The least that the largest of `count` consecutive shares can have.
std::int64_t least_largest(const std::vector<Piece>& pieces, std::size_t count) {
  std::int64_t low = 0, high = 0;
  for (const Piece& piece : pieces) {
    low = std::max(low, piece.weight);
    high += piece.weight;
  }
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (shares_needed(pieces, middle) <= count) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// Consecutive pieces for each of `count` replicas. The shares are handed out in a circle, from the
// one with the tied table on, so that this one is replica 0's on both stages that hold it.
std::vector<StoreRange> divide(const std::vector<Piece>& pieces, StoreRange all,
                               std::size_t count) {
  const std::int64_t most = least_largest(pieces, count);
  std::vector<StoreRange> ranges(1, {all.begin, all.begin});
  std::size_t first = 0;
  std::int64_t filled = 0;
  for (const Piece& piece : pieces) {
    if (filled + piece.weight > most) {
      ranges.push_back({piece.range.begin, piece.range.begin});
      filled = 0;
    }
    filled += piece.weight;
    ranges.back().end = piece.range.end;
    if (piece.is_tied) first = ranges.size() - 1;
  }
  ranges.resize(count, {all.end, all.end});
  std::ranges::rotate(ranges, ranges.begin() + static_cast<std::ptrdiff_t>(first));
  return ranges;
}

std::size_t index_in(const std::vector<StoreRange>& shares, std::int64_t element) {
  for (std::size_t replica = 0; replica < shares.size(); ++replica) {
    if (shares[replica].begin <= element && element < shares[replica].end) return replica;
  }
  return 0;  // of parameters without elements
}

}  // namespace

Parameters::Group Parameters::group_of(int index) const {
  const auto is_joined = [this](int i) { return specs_[static_cast<std::size_t>(i)].joined; };
  Group group{index, index, {}};
  while (is_joined(group.first)) --group.first;
  while (group.last + 1 < count() && is_joined(group.last + 1)) ++group.last;
  group.range = {offset(group.first), ends_[static_cast<std::size_t>(group.last)]};
  return group;
}

void Parameters::divide_into_shares() {
  const std::int64_t elements = ends_.empty() ? 0 : std::ranges::max(ends_);
  const StoreRange trained{0, trainable_elements_}, frozen{trainable_elements_, elements};
  shares_.assign(1, trained);
  frozen_shares_.assign(1, frozen);
  if (!sharding_.shares_state()) return;
  std::vector<Piece> trained_pieces, frozen_pieces;
  for (int first = 0; first < count();) {
    const Group group = group_of(first);
    Piece piece{group.range};
    for (int index = group.first; index <= group.last; ++index) {
      const ParameterSpec& spec = specs_[static_cast<std::size_t>(index)];
      piece.weight += spec.rows * spec.cols;
      piece.is_tied = piece.is_tied || spec.name == "embedding" || !spec.tied_to.empty();
    }
    const bool is_trained = group.range.begin < trainable_elements_;
    if (!is_alias(first)) (is_trained ? trained_pieces : frozen_pieces).push_back(piece);
    first = group.last + 1;
  }
  const auto replicas = static_cast<std::size_t>(sharding_.replicas);
  shares_ = divide(trained_pieces, trained, replicas);
  frozen_shares_ = divide(frozen_pieces, frozen, replicas);
}

int Parameters::owner_of(int index) const {
  if (shares_.size() == 1) return 0;
  const std::int64_t begin = offset(index);
  return static_cast<int>(index_in(begin < trainable_elements_ ? shares_ : frozen_shares_, begin));
}

Parameters::Place Parameters::gradient_place(int index) const {
  COLLIE_CHECK(gradients_.defined(), "these parameters have no gradients");
  const auto at = static_cast<std::size_t>(index);
  if (window_ == nullptr) {
    COLLIE_CHECK(!sharding_.shares_gradients() || is_in_own_share(index),
                 "the gradient of {} is another replica's", specs_[at].name);
    if (is_alias(index) && !alias_gradient_in_place()) return {alias_gradient_, 0};
    if (is_alias(index)) return gradient_place(alias_of_[at]);
    return {gradients_, gradient_offsets_[at] - gradients_begin_};
  }
  const Group group =
      is_alias(index) ? Group{index, index, {0, specs_[at].local_count()}} : group_of(index);
  auto found = std::ranges::find(window_->groups, group.first, &ParameterWindow::Group::first);
  if (found == window_->groups.end()) {
    const Shape shape{group.range.end - group.range.begin};
    window_->groups.push_back({group.first, window_->stream->allocate(DType::f32, shape)});
    found = std::prev(window_->groups.end());
  }
  return {found->flat, is_alias(index) ? 0 : offset(index) - group.range.begin};
}

Parameters::Place Parameters::compute_place(int index) const {
  const std::int64_t begin = offset(index);
  if (value_window_ != nullptr) {
    for (const ParameterWindow::Group& group : value_window_->groups) {
      const std::int64_t from = begin - offset(group.first);
      if (from >= 0 && from < group.flat.element_count()) return {group.flat, from};
    }
  }
  COLLIE_CHECK(holds_value(index), "{} is not here", specs_[static_cast<std::size_t>(index)].name);
  return {read_, begin - shift_of(begin)};
}

Tensor Parameters::held_computes(StoreRange range) const {
  if (!sharding_.shares_values()) return computes_.rows(range.begin, range.end);
  const bool is_trained = range.begin < trainable_elements_;
  const StoreRange own =
      (is_trained ? shares_ : frozen_shares_)[static_cast<std::size_t>(sharding_.replica)];
  const std::int64_t begin = std::max(range.begin, own.begin), end = std::min(range.end, own.end);
  return begin < end ? compute_range(begin, end) : Tensor();
}

void Parameters::add_to_gradient(Stream& stream, int index, std::vector<Tensor> parts) {
  COLLIE_CHECK(window_ == nullptr, "adds to the gradients that are kept");
  const Tensor kept = gradient(index);
  Tensor target = kept.reshaped({kept.element_count()});
  if (started_[static_cast<std::size_t>(index)]) parts.insert(parts.begin(), target);
  kernels::sum_in_order(stream, parts, target);
  started_[static_cast<std::size_t>(index)] = true;
}

}  // namespace collie
