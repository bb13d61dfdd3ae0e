#include <cstdint>
#include <queue>

#include "actors/schedule/generators/all.hpp"
#include "actors/schedule/generators/build.hpp"

namespace collie {

namespace {

// List scheduling on a clock where F takes 1 and B takes 2: a free rank takes the backward of the
// oldest micro-batch that is ready, else the deepest forward.
class GreedyWave {
 public:
  GreedyWave(Schedule& schedule, int in_flight_max)
      : schedule_(schedule), in_flight_max_(in_flight_max), ranks_(schedule.programs.size()) {}

  void run() {
    while (entered_ < std::min(in_flight_max_, schedule_.micro_batches)) enter();
    start_idle();
    while (!running_.empty()) {
      clock_ = running_.top().end;
      while (!running_.empty() && running_.top().end == clock_) {
        const Running done = running_.top();
        running_.pop();
        ranks_[rank_of(done.action)].busy = false;
        finish(done.action);
      }
      start_idle();
    }
  }

 private:
  struct Ready {
    Action action;
    // Whether this comes after the other.
    bool operator<(const Ready& other) const {
      const bool is_forward = action.verb == Verb::forward;
      if (is_forward != (other.action.verb == Verb::forward)) return is_forward;
      if (is_forward && action.stage != other.action.stage) {
        return action.stage < other.action.stage;
      }
      if (action.micro_batch != other.action.micro_batch) {
        return action.micro_batch > other.action.micro_batch;
      }
      return action.stage > other.action.stage;
    }
  };
  struct Running {
    std::int64_t end;
    Action action;
    bool operator<(const Running& other) const { return end > other.end; }
  };
  struct Rank {
    std::priority_queue<Ready> ready;
    bool busy = false;
    bool touched = false;  // listed in touched_
  };

  std::size_t rank_of(const Action& action) const {
    return static_cast<std::size_t>(schedule_.placement.rank_of(action.stage));
  }
  void touch(std::size_t rank) {
    if (ranks_[rank].touched) return;
    ranks_[rank].touched = true;
    touched_.push_back(rank);
  }
  void make_ready(Verb verb, int stage, int micro_batch) {
    const Action action{verb, stage, micro_batch};
    ranks_[rank_of(action)].ready.push({action});
    touch(rank_of(action));
  }
  void enter() { make_ready(Verb::forward, 0, entered_++); }

  void finish(const Action& action) {
    touch(rank_of(action));
    const int last_stage = schedule_.stages() - 1;
    if (action.verb == Verb::forward) {
      const bool turns = action.stage == last_stage;
      make_ready(turns ? Verb::backward : Verb::forward, action.stage + (turns ? 0 : 1),
                 action.micro_batch);
    } else if (action.stage > 0) {
      make_ready(Verb::backward, action.stage - 1, action.micro_batch);
    } else if (entered_ < schedule_.micro_batches) {
      enter();
    }
  }

  void start_idle() {
    for (const std::size_t rank : touched_) {
      Rank& state = ranks_[rank];
      state.touched = false;
      if (state.busy || state.ready.empty()) continue;
      const Action action = state.ready.top().action;
      state.ready.pop();
      state.busy = true;
      schedule_.programs[rank].push_back(action);
      running_.push({clock_ + (action.verb == Verb::forward ? 1 : 2), action});
    }
    touched_.clear();
  }

  Schedule& schedule_;
  int in_flight_max_;
  int entered_ = 0;
  std::int64_t clock_ = 0;
  std::vector<Rank> ranks_;
  std::vector<std::size_t> touched_;  // ranks that may have something to start
  std::priority_queue<Running> running_;
};

}  // namespace

// Liu et al. 2023, section 3: `chunks` / 2 waves across the ranks, ordered greedily. At most twice
// as many micro-batches as ranks are in flight, more than which do not help.
Result<Schedule> hanayo(const ScheduleOptions& options) {
  const int chunks = options.chunks == 0 ? 4 : options.chunks;
  if (chunks % 2 != 0) {
    return make_error(ErrorCode::invalid_config,
                      "schedule hanayo needs an even number of chunks per rank (two per wave), not "
                      "{}",
                      chunks);
  }
  Schedule schedule =
      empty_schedule("hanayo", Placement::wave(options.ranks, chunks), options.micro_batches);
  const int in_flight_max = 2 * options.ranks;
  // Greed lets messages wait, but a micro-batch has one at a time. The paper's ranks micro-batches
  // pass without.
  if (options.micro_batches > options.ranks) schedule.channel.credit = in_flight_max;
  GreedyWave(schedule, in_flight_max).run();
  return with_steps(std::move(schedule));
}

}  // namespace collie
