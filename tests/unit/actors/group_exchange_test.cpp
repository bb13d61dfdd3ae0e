// Reductions at which work is paused, over tensor shards and over replicas, told as sentences.
#define BOOST_TEST_MODULE group_exchange
#include "actors/protocol/group_exchange.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/protocol_script.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

const Stamp stamp{1, 0, 1, 4};
const ShardId self{1, 0, 0};

struct Paused {
  Allocator memory{"test"};
  Inbox inbox{1, 0};
  Commands commands;
  PausedReduction reduction{Grid{3, 2, 1}, self};

  Paused() {
    inbox.begin_round(1);
    reduction.work_started();
  }
  Tensor tensor() { return allocate_tensor(memory, DType::f32, {2}); }
  // Which tensors are sent along is told apart.
  std::string pause(WorkKind kind, ReduceGroup group, int only_to = -1) {
    Completion completion;
    completion.kind = kind;
    completion.stamp = stamp;
    completion.group = group;
    completion.only_to = only_to;
    completion.tensor = tensor();
    reduction.pause(completion, commands);
    std::string text;
    for (const Command& command : commands) {
      const auto& part = std::get<Contribution>(std::get<Send>(command).message);
      text += sentence(command) + (part.tensor ? "" : " without") + "; ";
    }
    commands.clear();
    return text;
  }
  std::optional<Work> part(Purpose purpose, int rank, std::uint32_t sequence, bool has = true) {
    inbox.accept(Contribution{stamp, purpose, sequence, rank, has ? tensor() : Tensor()});
    return reduction.resume_when_complete(inbox);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(each_group_counts_its_own_reductions) {
  Paused paused;
  BOOST_TEST(paused.pause(WorkKind::backward, ReduceGroup::tensor) ==
             "contribution backward 4.0 -> 1.0.1; ");
  BOOST_TEST(paused.part(Purpose::backward, 1, 0)->parts.size() == 2U);
  BOOST_TEST(paused.pause(WorkKind::backward, ReduceGroup::replicas) ==
             "contribution replica_backward 4.0 -> 0.0.0; "
             "contribution replica_backward 4.0 -> 2.0.0; ");
  BOOST_TEST(!paused.part(Purpose::replica_backward, 2, 0));
  BOOST_TEST(!paused.part(Purpose::backward, 1, 1));  // early: of the next one
  BOOST_TEST(paused.part(Purpose::replica_backward, 0, 0)->parts.size() == 3U);
  BOOST_TEST(paused.pause(WorkKind::backward, ReduceGroup::tensor) ==
             "contribution backward 4.1 -> 1.0.1; ");
  BOOST_TEST(paused.reduction.resume_when_complete(paused.inbox).has_value());
}

// Recomputation, backward and weight gradients of one micro-batch all may pause at a first
// reduction.
BOOST_AUTO_TEST_CASE(works_of_a_micro_batch_have_purposes_of_their_own) {
  Paused paused;
  std::string all;
  for (const WorkKind kind : {WorkKind::forward, WorkKind::recompute, WorkKind::backward_input,
                              WorkKind::backward_weight, WorkKind::optimize}) {
    for (const ReduceGroup group : {ReduceGroup::tensor, ReduceGroup::replicas}) {
      const std::string told = paused.pause(kind, group);
      const std::string purpose = told.substr(0, told.find(" 4."));
      BOOST_TEST(all.find(purpose + ";") == std::string::npos, purpose);
      all += purpose + ";";
      paused.reduction.cancel();
    }
  }
}

BOOST_AUTO_TEST_CASE(the_one_who_sums_gets_the_parts_and_all_wait_for_all) {
  Paused paused;
  BOOST_TEST(paused.pause(WorkKind::backward, ReduceGroup::replicas, 2) ==
             "contribution replica_backward 4.0 -> 0.0.0 without; "
             "contribution replica_backward 4.0 -> 2.0.0; ");
  BOOST_TEST(!paused.part(Purpose::replica_backward, 0, 0, false));
  BOOST_TEST(paused.part(Purpose::replica_backward, 2, 0, false).has_value());
}
