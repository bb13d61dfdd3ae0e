#include "actors/protocol/group_exchange.hpp"

namespace collie {

void PartCollection::begin(Exchange exchange, const Stamp& stamp, std::uint32_t sequence,
                           Tensor own_part, Commands& out) {
  exchange_ = std::move(exchange);
  stamp_ = stamp;
  sequence_ = sequence;
  own_part_ = std::move(own_part);
  for (int rank = 0; rank < static_cast<int>(exchange_.group.size()); ++rank) {
    if (rank == exchange_.rank) continue;
    out.emplace_back(
        Send{shard_address(exchange_.group[static_cast<std::size_t>(rank)]),
             Contribution{stamp_, exchange_.purpose, sequence_, exchange_.rank, own_part_}});
  }
}

InboxKey PartCollection::key_from(int rank) const {
  return contribution_key(stamp_.round, stamp_.micro_batch, exchange_.purpose, sequence_, rank);
}

bool PartCollection::is_complete(const Inbox& inbox) const {
  for (int rank = 0; rank < static_cast<int>(exchange_.group.size()); ++rank) {
    if (rank != exchange_.rank && !inbox.has(key_from(rank))) return false;
  }
  return true;
}

std::vector<Tensor> PartCollection::take(Inbox& inbox) {
  std::vector<Tensor> parts;
  for (int rank = 0; rank < static_cast<int>(exchange_.group.size()); ++rank) {
    parts.push_back(rank == exchange_.rank
                        ? std::exchange(own_part_, Tensor())
                        : std::get<Contribution>(inbox.take(key_from(rank))).tensor);
  }
  return parts;
}

void PausedReduction::pause(const Completion& completion, Commands& out) {
  paused_ = true;
  purpose_ = completion.kind == WorkKind::forward ? Purpose::forward : Purpose::backward;
  stamp_ = completion.stamp;
  parts_.begin({purpose_, group_, rank_}, stamp_, sequence_, completion.tensor, out);
}

std::optional<Work> PausedReduction::resume_when_complete(Inbox& inbox) {
  if (!paused_ || !parts_.is_complete(inbox)) return std::nullopt;
  Work work;
  work.kind = WorkKind::resume;
  work.stamp = stamp_;
  work.purpose = purpose_;
  work.parts = parts_.take(inbox);
  ++sequence_;
  paused_ = false;
  return work;
}

std::string PausedReduction::describe() const {
  return fmt::format("reduction {} of micro-batch {}", sequence_, stamp_.micro_batch);
}

}  // namespace collie
