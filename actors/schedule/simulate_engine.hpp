// The discrete events behind simulate(): when each action begins and ends. Pure.
#pragma once

#include <optional>
#include <queue>

#include "actors/schedule/cost_model.hpp"
#include "actors/schedule/policy_choice.hpp"
#include "actors/schedule/simulate_wiring.hpp"

namespace collie {

// The same place, so many repetitions of its program later.
inline ActionPlace repeated_place(const Schedule& schedule, ActionPlace place, int step) {
  if (!place.exists()) return place;
  const auto size = schedule.programs[static_cast<std::size_t>(place.rank)].size();
  return {place.rank, place.position + step * static_cast<int>(size)};
}

// Of a policy's simulation: the actions from where they are written to the order in which they ran.
void put_in_order(Simulation& simulation);

class SimulationEngine {
 public:
  SimulationEngine(const Wiring& wiring, const Pricer& pricer, int steps);

  // An error names the ranks that wait for ever.
  Status run();
  Simulation take_result();
  // When the output of each action reached its reader's rank; negative: it has none to reach.
  const std::vector<std::vector<double>>& arrivals() const { return arrivals_; }
  bool is_rendezvous() const { return is_rendezvous_; }

 private:
  struct Rank {
    int position = 0;  // of the next action in the repeated program; of a policy: the last chosen
    int last = 0;      // of the action that ran last
    int done = 0, end_position = 0;
    double free_at = 0.0;   // when the next action may begin
    double last_end = 0.0;  // of its last action; earlier than free_at if a rendezvous held it
    int offered = 0;        // rendezvous: outputs that no reader has taken yet
    ActionPlace taker;      // ... and who took the last one
    bool is_running = false;
    bool is_at_barrier = false;
    std::optional<double> barrier_time;  // set when all ranks of the barrier have come
    ActionPlace barrier_last;
    int forwards = 0;       // in one program
    int forwards_left = 0;  // in this step
    bool had_backward = false;
    double copies_until = 0.0;  // its copies of weights are busy
  };
  struct Take {
    double time = 0.0;
    ActionPlace reader;
  };
  struct Link {
    std::int64_t sent = 0, taken = 0;
    bool is_bounded = false;       // by its credit, with as many messages as it carries
    std::vector<Take> last_takes;  // a ring
  };
  struct Barrier {
    double time = 0.0;
    ActionPlace last;
    std::vector<int> ranks;  // that have come
  };
  // What a rank's next action can begin at, and what it waited for.
  struct Start {
    double begin = 0.0;
    double made = 0.0;  // when the input was made that it waited for
    IdleCause cause = IdleCause::none;
    ActionPlace blamed;
  };
  struct Completion {
    double time;
    int rank;
    bool is_arrival = false;  // of something that a policy's rank may start with
    auto operator<=>(const Completion&) const = default;
  };

  Rank& rank_at(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }
  TimedAction& timed(ActionPlace place) {
    return result_
        .actions[static_cast<std::size_t>(place.rank)][static_cast<std::size_t>(place.position)];
  }
  double& arrival(ActionPlace place) {
    return arrivals_[static_cast<std::size_t>(place.rank)]
                    [static_cast<std::size_t>(place.position)];
  }
  const std::vector<Action>& program(int rank) const {
    return wiring_.schedule().programs[static_cast<std::size_t>(rank)];
  }
  void count_forwards(int rank);
  void run_in_order();
  void size_links(int steps);
  void wake_ranks();
  // Whether it began.
  bool try_start(int rank);
  // 1, or 2 that run side by side.
  int group_size(int rank, int position) const;
  // False: what it waits for has not happened yet. Otherwise start is as late as it asks for.
  bool consider_input(ActionPlace at, const Action& action, int step, Start& start);
  bool consider_credit(const Action& action, Start& start);
  bool consider_barrier(ActionPlace at, const Action& action, Start& start);
  // A STEP waits until versions of its stage that are still to be read have been copied.
  void consider_copies(ActionPlace at, const Action& action, int step, Start& start);
  bool copies_itself(ActionPlace at, const Action& action, int step) const;
  void copy_version(ActionPlace at, const Action& action, int step, double time);
  double& copied_at(const Action& action);
  // All of these, from the time when the rank is free.
  Start earliest_start(int rank);
  bool may_start(ActionPlace at, const Action& action, int step, Start& start);
  void run_by_policy();
  void choose_for_woken();
  void choose(int rank);
  bool may_choose(int rank, const Choice& choice, int step, Start& start);
  void begin(int rank, int count, int step, const Start& start);
  void take_input(ActionPlace at, const Action& action, int step, double time);
  double duration(int rank, int position, int count, int step) const;
  void complete(const Completion& completion);
  void send(ActionPlace at, const Action& action, int step, double time);
  ActionPlace ran_before(ActionPlace place) const;
  IdleCause cause_of(int rank, const Start& start, ActionPlace& blamed);
  std::string describe_wait(int rank);

  const Wiring& wiring_;
  const Pricer& pricer_;
  bool is_rendezvous_;
  bool decides_;  // the schedule's policy, what starts
  std::vector<Rank> ranks_;
  std::vector<Link> links_;
  std::vector<double> link_out_, link_in_;  // occupancy: busy until, by rank
  std::vector<Barrier> barriers_;           // FENCE, then the reduction of each stage
  std::vector<int> woken_;
  std::priority_queue<Completion, std::vector<Completion>, std::greater<>> completions_;
  std::vector<std::vector<double>> arrivals_;
  std::vector<std::vector<bool>> copying_steps_;  // empty: copies cost nothing
  std::vector<double> copied_at_;                 // by direction and stage: the last PIN's copy
  // Of a policy:
  double now_ = 0.0;
  std::vector<std::optional<PolicyChoice>> choices_;  // by rank, of its step
  std::vector<std::vector<int>> ran_;  // by rank and written position: when in its order; else -1
  Simulation result_;
};

}  // namespace collie
