// A pipeline schedule is data: for each rank an ordered program of actions, with what they assume
// of placement, channels and weight versions, and a contract that is proved before a run. The same
// schedule is the simulator's input, the script of the stage actors and what a trace is checked
// against. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "actors/schedule/action.hpp"
#include "actors/schedule/placement.hpp"
#include "runtime/result.hpp"

namespace collie {

enum class ChannelKind {
  tagged,      // mailboxes: a receive names its message (what our actors do)
  fifo,        // messages of a pair of ranks arrive in the order sent (untagged P2P)
  rendezvous,  // a send ends when its receive begins
};

struct Channel {
  ChannelKind kind = ChannelKind::tagged;
  int credit = 2;  // undelivered messages that one directed pair of ranks may hold; rendezvous: 0
  bool operator==(const Channel&) const = default;
};

// Which version of its stage's weights an action reads. A version is the number of STEPs before.
enum class VersionRule {
  latest,
  stashed,         // backward only: the version that the micro-batch's forward read
  previous_group,  // one STEP behind the micro-batch's group: max(0, micro_batch / group - 1) (2BW)
  vertical,        // the same on all stages: max(0, micro_batch - (stages - 1)) (vertical sync)
  predicted,       // latest, carried `horizon` updates ahead
};

// What STEP does besides the optimizer's update, and how delay is compensated.
enum class Correction {
  none,
  pipemare,        // learning rate / staleness^(1 - min(step / anneal, 1)), and T2 on the backward
  spec_train,      // velocity prediction in forward and backward
  xpipe,           // Adam's direction, made once per mini-batch
  pipe_optim,      // optimizer's direction, forward only
  nesterov_delay,  // Nesterov with the gradient discounted by 1 - gamma
};

struct Versions {
  VersionRule forward = VersionRule::latest;
  VersionRule backward = VersionRule::stashed;
  Correction correction = Correction::none;
  int step_every = 0;      // micro-batches of one STEP; 0: all of them (synchronous)
  int warm_up_steps = 0;   // synchronous STEPs before the asynchronous ones (PipeMare's T3)
  int anneal_steps = 100;  // updates until PipeMare's learning rate is the whole one (T1)
  bool operator==(const Versions&) const = default;
};

// A choice made while the schedule runs: programs say what a rank does, and of what may start
// (input and credit are there) the first kind in `priority` is next; actions of one kind and stage
// keep their order in the program, so gradients add up as in any other schedule. What was chosen
// can be recorded as a program. The simulator chooses by the same rule (policy_choice.hpp).
struct Policy {
  std::vector<Verb> priority = {};  // of F, I, W, B; empty: none, programs are orders
  // F only while fewer micro-batches of its stage are between F and the end of their backward; 0:
  // no bound.
  int in_flight = 0;
  bool decides() const { return !priority.empty(); }
  bool operator==(const Policy&) const = default;
};

// What is promised of every stage s. The bounds are expressions over P (ranks), S (stages), s, m
// (micro-batches of a STEP), with + - * / min max ceil and whole numbers: "S-1-s".
struct Contract {
  bool synchronous = true;
  std::string staleness = "0";  // tau: updates between the forward's version and the own update
  std::string mismatch = "0";   // mu: backward's version - forward's
  std::string versions = "1";   // weight versions that are alive at once, at most
  bool operator==(const Contract&) const = default;
};

struct Schedule {
  std::string name = {};
  Placement placement = {};
  int micro_batches = 1;  // of the whole schedule, both directions: of one step if synchronous
  int slices = 1;         // of a micro-batch
  Channel channel = {};
  Versions versions = {};
  Contract contract = {};
  Policy policy = {};
  std::vector<std::vector<Action>> programs = {};  // one per rank

  int ranks() const { return placement.ranks(); }
  int stages() const { return placement.stages(); }
  std::size_t action_count() const;
  bool operator==(const Schedule&) const = default;
};

// The version of its stage's weights that an action on a micro-batch reads by a rule, when the
// stage has made `latest` STEPs; of_forward: what the micro-batch's forward read.
int version_read(VersionRule rule, const Schedule& schedule, int micro_batch, int latest,
                 int of_forward);

// Most micro-batches whose activations a rank holds at once, in stages: what memory planning needs.
int peak_in_flight(const Schedule& schedule, int rank);

}  // namespace collie
