#include "actors/protocol/post_validation.hpp"

#include <algorithm>
#include <cmath>

namespace collie {

void PostValidation::begin_round(const Stamp& stamp, double clip_norm) {
  stamp_ = stamp;
  clip_norm_ = clip_norm;
  measured_ = 0;
  partial_ = {.stamp = stamp, .rank = chain_.rank, .tensor = chain_.tensor};
  handed_on_ = decided_ = false;
}

void PostValidation::measured(const RoundReport& report) {
  ++measured_;
  for (const double square : report.squares) partial_.squares += square;
  const auto is_finite = [](double value) { return std::isfinite(value); };
  partial_.is_finite = partial_.is_finite && report.first_non_finite.empty() &&
                       std::ranges::all_of(report.losses, is_finite);
}

bool PostValidation::hand_on(Inbox& inbox, Commands& out) {
  if (handed_on_) return true;
  if (measured_ < shards_) return false;
  if (chain_.rank > 0) {
    const InboxKey key = partial_norm_key(stamp_.round, chain_.rank - 1, chain_.tensor);
    if (!inbox.has(key)) return false;
    const auto before = std::get<PartialNorm>(inbox.take(key));
    partial_.squares += before.squares;
    partial_.is_finite = partial_.is_finite && before.is_finite;
  }
  handed_on_ = true;
  if (chain_.next) out.emplace_back(Send{shard_address(*chain_.next), partial_});
  for (int tensor = 0; tensor < static_cast<int>(chain_.peers.size()); ++tensor) {
    if (tensor == chain_.tensor) continue;
    out.emplace_back(Send{shard_address(chain_.peers[static_cast<std::size_t>(tensor)]), partial_});
  }
  return true;
}

bool PostValidation::may_step(Inbox& inbox, Commands& out) {
  if (!chain_.is_used || decided_ || !hand_on(inbox, out)) return false;
  const int peers = static_cast<int>(chain_.peers.size());
  const auto key_from = [&](int tensor) {
    return partial_norm_key(stamp_.round, chain_.rank, tensor);
  };
  for (int tensor = 0; tensor < peers; ++tensor) {
    if (tensor != chain_.tensor && !inbox.has(key_from(tensor))) return false;
  }
  decided_ = true;
  double squares = 0.0;
  bool is_finite = true;
  for (int tensor = 0; tensor < peers; ++tensor) {
    const PartialNorm part =
        tensor == chain_.tensor ? partial_ : std::get<PartialNorm>(inbox.take(key_from(tensor)));
    squares += part.squares;
    is_finite = is_finite && part.is_finite;
  }
  return is_finite && std::isfinite(squares) &&
         (clip_norm_ <= 0.0 || std::sqrt(squares) <= clip_norm_);
}

}  // namespace collie
