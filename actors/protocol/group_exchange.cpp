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
    const bool gets_parts = exchange_.only_to < 0 || exchange_.only_to == rank;
    out.emplace_back(Send{shard_address(exchange_.group[static_cast<std::size_t>(rank)]),
                          Contribution{stamp_, exchange_.purpose, sequence_, exchange_.rank,
                                       gets_parts ? own_part_ : Tensor()}});
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

namespace {

// Works of one micro-batch that may pause have purposes of their own, so that no two of their
// reductions have one key.
Purpose purpose_of(WorkKind kind, bool over_replicas) {
  switch (kind) {
    case WorkKind::forward:
      return over_replicas ? Purpose::replica_forward : Purpose::forward;
    case WorkKind::optimize:
      return over_replicas ? Purpose::replica_optimizer : Purpose::optimizer;
    case WorkKind::backward_weight:
      return over_replicas ? Purpose::replica_weights : Purpose::weights;
    case WorkKind::recompute:
      return over_replicas ? Purpose::replica_recompute : Purpose::recompute;
    default:
      return over_replicas ? Purpose::replica_backward : Purpose::backward;
  }
}

}  // namespace

void PausedReduction::pause(const Completion& completion, Commands& out) {
  const bool over_replicas = completion.group == ReduceGroup::replicas;
  paused_ = true;
  purpose_ = purpose_of(completion.kind, over_replicas);
  stamp_ = completion.stamp;
  sequence_ = over_replicas ? replica_sequence_++ : tensor_sequence_++;
  Exchange exchange = over_replicas ? replicas_ : tensor_;
  exchange.purpose = purpose_;
  exchange.only_to = completion.only_to;
  parts_.begin(std::move(exchange), stamp_, sequence_, completion.tensor, out);
}

std::optional<Work> PausedReduction::resume_when_complete(Inbox& inbox) {
  if (!paused_ || !parts_.is_complete(inbox)) return std::nullopt;
  Work work;
  work.kind = WorkKind::resume;
  work.stamp = stamp_;
  work.purpose = purpose_;
  work.parts = parts_.take(inbox);
  paused_ = false;
  return work;
}

std::string PausedReduction::describe() const {
  return fmt::format("reduction {} of micro-batch {}", sequence_, stamp_.micro_batch);
}

}  // namespace collie
