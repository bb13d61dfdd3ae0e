#include "actors/schedule/memory_timeline.hpp"

#include <algorithm>
#include <optional>

#include "actors/schedule/simulate_engine.hpp"

namespace collie {

namespace {

struct Arrival {
  double time;
  double bytes;
};

// The weights of one stage (in one direction).
struct StageWeights {
  std::vector<int> last_use;  // by version: position in the repeated program
  int latest = 0;
  int steps_in_program = 0;
  int predicted = 0;
  bool has_gradients = false;
};

class RankMemory {
 public:
  // arrivals: of each action's output, as the engine has them; null: no message ever waits.
  RankMemory(const Wiring& wiring, const Pricer& pricer, const Simulation& simulation,
             const std::vector<std::vector<double>>* arrivals, bool with_points)
      : schedule_(wiring.schedule()),
        wiring_(wiring),
        pricer_(pricer),
        simulation_(simulation),
        arrival_times_(arrivals),
        with_points_(with_points),
        weights_(static_cast<std::size_t>(schedule_.stages() * schedule_.placement.directions())) {}

  void measure(int rank) {
    rank_ = static_cast<std::size_t>(rank);
    now_ = {};
    peak_ = 0.0;
    points_.clear();
    hold_stages(rank);
    find_last_uses();
    find_arrivals();
    record(0.0);
    walk();
    points_.shrink_to_fit();
  }

  double peak() const { return peak_; }
  std::vector<MemoryPoint> take_points() { return std::move(points_); }

 private:
  // Where the action is written that ran then, in the repeated program.
  std::size_t written(std::size_t ran) const {
    return simulation_.order.empty() ? ran
                                     : static_cast<std::size_t>(simulation_.order[rank_][ran]);
  }
  StageWeights& weights_of(const Action& action) {
    return weights_[static_cast<std::size_t>(action.direction * schedule_.stages() + action.stage)];
  }
  double& held(MemoryClass memory_class) {
    return now_.bytes[static_cast<std::size_t>(memory_class)];
  }

  void hold_stages(int rank) {
    for (int direction = 0; direction < schedule_.placement.directions(); ++direction) {
      for (int stage = 0; stage < schedule_.stages(); ++stage) {
        if (schedule_.placement.rank_of(stage, direction) != rank) continue;
        held(MemoryClass::weights) += pricer_.memory_of(stage).weights;
        held(MemoryClass::optimizer) += pricer_.memory_of(stage).optimizer;
      }
    }
  }

  // When the message that the action reads came, if it had to wait.
  std::optional<Arrival> arrival_of(std::size_t at) const {
    const std::vector<Action>& program = schedule_.programs[rank_];
    const Action& action = program[at % program.size()];
    if (arrival_times_ == nullptr || wiring_.inbound_link(action) < 0) return std::nullopt;
    const ActionPlace input = wiring_.input_of(action);
    const ActionPlace maker =
        repeated_place(schedule_, input, static_cast<int>(at / program.size()));
    const double time = (*arrival_times_)[static_cast<std::size_t>(maker.rank)]
                                         [static_cast<std::size_t>(maker.position)];
    if (time >= simulation_.actions[rank_][at].begin) return std::nullopt;
    const StageMemory& memory = pricer_.memory_of(wiring_.action(input).stage);
    return Arrival{time, memory.message * pricer_.slice_share()};
  }

  void find_arrivals() {
    arrivals_.clear();
    next_arrival_ = 0;
    for (std::size_t at = 0; at < simulation_.actions[rank_].size(); ++at) {
      if (const auto arrival = arrival_of(at)) arrivals_.push_back(*arrival);
    }
    std::ranges::sort(arrivals_, {}, &Arrival::time);
  }

  void find_last_uses() {
    const auto& program = schedule_.programs[rank_];
    const auto& timed = simulation_.actions[rank_];
    for (const Action& action : program) {
      if (action.verb == Verb::step) ++weights_of(action).steps_in_program;
    }
    for (std::size_t ran = 0; ran < timed.size(); ++ran) {
      const std::size_t at = written(ran);
      const Action& action = program[at % program.size()];
      StageWeights& stage = weights_of(action);
      if (action.verb != Verb::drop && !reads_weights(action.verb)) continue;
      const int version = version_at(action, at, stage);
      // A version that the stage never makes would be the validator's to refuse.
      if (version < 0 || version > static_cast<int>(timed.size())) continue;
      const auto wanted = static_cast<std::size_t>(version) + 1;
      if (stage.last_use.size() < wanted) stage.last_use.resize(wanted, -1);
      stage.last_use[wanted - 1] = static_cast<int>(ran);
    }
  }

  static bool reads_weights(Verb verb) {
    return verb == Verb::forward || verb == Verb::recompute || makes_input_gradient(verb);
  }

  static int last_use(const StageWeights& stage, int version) {
    const auto at = static_cast<std::size_t>(version);
    return version >= 0 && at < stage.last_use.size() ? stage.last_use[at] : -1;
  }

  void walk() {
    const auto& program = schedule_.programs[rank_];
    const auto& timed = simulation_.actions[rank_];
    for (std::size_t ran = 0; ran < timed.size();) {
      const std::size_t at = written(ran);
      const bool is_pair = simulation_.order.empty() && program[at % program.size()].overlaps_next;
      const std::size_t count = is_pair ? 2 : 1;
      arrive_before(timed[at].begin);
      for (std::size_t i = 0; i < count; ++i) begin(program[(at + i) % program.size()], at + i);
      record(timed[at].begin);
      arrive_before(timed[at].end);
      for (std::size_t i = 0; i < count; ++i) {
        end(program[(at + i) % program.size()], at + i, ran + i);
      }
      record(timed[at].end);
      ran += count;
    }
  }

  void arrive_before(double time) {
    for (; next_arrival_ < arrivals_.size() && arrivals_[next_arrival_].time < time;
         ++next_arrival_) {
      held(MemoryClass::buffers) += arrivals_[next_arrival_].bytes;
      record(arrivals_[next_arrival_].time);
    }
  }

  void begin(const Action& action, std::size_t at) {
    const StageMemory& memory = pricer_.memory_of(action.stage);
    const double share = pricer_.slice_share();
    StageWeights& stage = weights_of(action);
    if (action.verb == Verb::forward) {
      held(MemoryClass::activations) +=
          share * (wiring_.has_recompute(action) ? memory.message : memory.activation);
    } else if (action.verb == Verb::recompute) {
      // What the forward kept is a part of what there is now.
      held(MemoryClass::activations) += share * (memory.activation - memory.message);
    } else if (makes_weight_gradient(action.verb) && !stage.has_gradients) {
      stage.has_gradients = true;
      held(MemoryClass::gradients) += memory.gradients;
    } else if (action.verb == Verb::predict) {
      ++stage.predicted;
      held(MemoryClass::weights) += memory.weights;
    }
    if (const auto arrival = arrival_of(at)) held(MemoryClass::buffers) -= arrival->bytes;
  }

  // ran: when in the rank's order.
  void end(const Action& action, std::size_t at, std::size_t ran) {
    const StageMemory& memory = pricer_.memory_of(action.stage);
    const double share = pricer_.slice_share();
    double& activations = held(MemoryClass::activations);
    if (makes_input_gradient(action.verb)) {
      activations -= share * memory.activation;
    }
    if (action.verb == Verb::forward && !wiring_.has_backward(action)) {
      activations -= share * memory.activation;
    }
    if (action.verb == Verb::backward_input) {
      held(MemoryClass::weight_stash) += share * memory.weight_stash;
    }
    if (action.verb == Verb::backward_weight) {
      held(MemoryClass::weight_stash) -= share * memory.weight_stash;
    }
    end_weights(action, at, ran, memory);
  }

  void end_weights(const Action& action, std::size_t at, std::size_t ran,
                   const StageMemory& memory) {
    StageWeights& stage = weights_of(action);
    double& weights = held(MemoryClass::weights);
    const int position = static_cast<int>(ran);
    if (action.verb == Verb::step) {
      // In place, unless the version that it replaces still has a reader.
      if (last_use(stage, stage.latest) > position) weights += memory.weights;
      ++stage.latest;
      if (stage.has_gradients) held(MemoryClass::gradients) -= memory.gradients;
      stage.has_gradients = false;
      return;
    }
    if (reads_weights(action.verb) || action.verb == Verb::drop) {
      const int version = version_at(action, at, stage);
      if (version < stage.latest && last_use(stage, version) == position) weights -= memory.weights;
    }
    if (reads_weights(action.verb) && stage.predicted > 0) {
      weights -= memory.weights * stage.predicted;
      stage.predicted = 0;
    }
  }

  int version_at(const Action& action, std::size_t at, const StageWeights& stage) const {
    if (action.verb != Verb::drop) return simulation_.actions[rank_][at].version;
    const std::size_t step = at / schedule_.programs[rank_].size();
    return action.micro_batch + static_cast<int>(step) * stage.steps_in_program;
  }

  void record(double time) {
    double total = 0.0;
    for (const double bytes : now_.bytes) total += bytes;
    peak_ = std::max(peak_, total);
    if (!with_points_) return;
    now_.time = time;
    if (!points_.empty() && points_.back().time == time) {
      points_.back() = now_;
    } else {
      points_.push_back(now_);
    }
  }

  const Schedule& schedule_;
  const Wiring& wiring_;
  const Pricer& pricer_;
  const Simulation& simulation_;
  const std::vector<std::vector<double>>* arrival_times_;
  bool with_points_;
  std::size_t rank_ = 0;
  std::vector<StageWeights> weights_;
  std::vector<Arrival> arrivals_;
  std::size_t next_arrival_ = 0;
  MemoryPoint now_;
  double peak_ = 0.0;
  std::vector<MemoryPoint> points_;
};

}  // namespace

void measure_memory(const Wiring& wiring, const Pricer& pricer,
                    const std::vector<std::vector<double>>& arrivals, bool has_buffers,
                    bool with_points, Simulation& simulation) {
  RankMemory memory(wiring, pricer, simulation, has_buffers ? &arrivals : nullptr, with_points);
  simulation.memory.clear();
  simulation.peak_memory.clear();
  for (int rank = 0; rank < wiring.schedule().ranks(); ++rank) {
    memory.measure(rank);
    simulation.peak_memory.push_back(memory.peak());
    if (with_points) simulation.memory.push_back(memory.take_points());
  }
}

}  // namespace collie
