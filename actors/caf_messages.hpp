// How the protocol's messages travel through CAF inside one process: one envelope that carries the
// message by reference. Only actor shells include this header.
#pragma once

#include <caf/all.hpp>
#include <memory>

#include "actors/protocol/work.hpp"

namespace collie {

struct Envelope {
  ShardId to;  // which of the shards that a rank hosts
  std::shared_ptr<Message> message;
};

// A stream tells the actor that owns it that work has finished or paused.
struct StreamNote {
  std::shared_ptr<Completion> completion;
};

// Who is behind each address; told to every actor before the first round.
struct Directory {
  Grid grid;
  caf::actor trainer;
  caf::actor feeder;
  std::vector<caf::actor> ranks;   // in the order of host_ranks
  std::vector<std::size_t> hosts;  // of each shard, in the order of index_of: its rank
};

struct Introduction {
  std::shared_ptr<const Directory> directory;
};

}  // namespace collie

CAF_BEGIN_TYPE_ID_BLOCK(collie, caf::first_custom_type_id)
CAF_ADD_TYPE_ID(collie, (collie::Envelope))
CAF_ADD_TYPE_ID(collie, (collie::StreamNote))
CAF_ADD_TYPE_ID(collie, (collie::Introduction))
CAF_ADD_ATOM(collie, collie, describe_atom, "describe")
CAF_END_TYPE_ID_BLOCK(collie)

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(collie::Envelope)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(collie::StreamNote)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(collie::Introduction)
