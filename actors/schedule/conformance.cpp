#include "actors/schedule/conformance.hpp"

#include <algorithm>
#include <limits>

#include "actors/schedule/action_index.hpp"

namespace collie {

namespace {

class Conformance {
 public:
  Conformance(const Schedule& schedule, const Trace& trace)
      : schedule_(schedule), trace_(trace), index_(schedule) {}

  Status check() const {
    if (trace_.size() != schedule_.programs.size()) {
      return fail("the trace has {} ranks, the schedule {}", trace_.size(),
                  schedule_.programs.size());
    }
    for (std::size_t rank = 0; rank < trace_.size(); ++rank) {
      COLLIE_TRY_VOID(check_order(rank));
    }
    for (std::size_t rank = 0; rank < trace_.size(); ++rank) {
      for (const TracedAction& done : trace_[rank]) COLLIE_TRY_VOID(check_inputs(rank, done));
    }
    return check_fences();
  }

 private:
  template <class... Args>
  Status fail(fmt::format_string<Args...> format, Args&&... args) const {
    return make_error(ErrorCode::lost, "the run did not follow schedule {}: {}", schedule_.name,
                      fmt::format(format, std::forward<Args>(args)...));
  }

  Status check_order(std::size_t rank) const {
    const std::vector<Action>& program = schedule_.programs[rank];
    const std::vector<TracedAction>& done = trace_[rank];
    for (std::size_t at = 0; at < program.size(); ++at) {
      if (at >= done.size()) {
        return fail("rank {} did not do {}, action {} of its program", rank, to_string(program[at]),
                    at + 1);
      }
      if (!is_same(done[at].action, program[at])) {
        return fail("rank {} did {} where its program has {} (action {})", rank,
                    to_string(done[at].action), to_string(program[at]), at + 1);
      }
      if (done[at].end_s < done[at].begin_s || (at > 0 && done[at].begin_s < done[at - 1].end_s)) {
        return fail("rank {} began {} before {} had ended", rank, to_string(done[at].action),
                    to_string(done[at > 0 ? at - 1 : 0].action));
      }
    }
    if (done.size() == program.size()) return ok_status();
    return fail("rank {} did {} after the end of its program", rank,
                to_string(done[program.size()].action));
  }

  // Whether two run side by side is the schedule's wish, not what a trace tells. The STEPs of a
  // synchronous schedule stand at its barrier, in any order.
  bool is_same(const Action& done, Action planned) const {
    if (schedule_.contract.synchronous && planned.verb == Verb::step)
      return done.verb == Verb::step;
    planned.overlaps_next = done.overlaps_next;
    return done == planned;
  }

  Status check_inputs(std::size_t rank, const TracedAction& done) const {
    const Action& action = done.action;
    if (!is_computed(action.verb)) return ok_status();
    const UnitPlaces& own = index_.unit(action);
    if (action.verb == Verb::forward) {
      return action.stage == 0 ? ok_status() : check_after(rank, done, unit_at(action, -1).forward);
    }
    COLLIE_TRY_VOID(check_after(rank, done, own.forward));
    if (action.verb == Verb::backward_weight) return check_after(rank, done, own.input);
    if (action.stage == schedule_.stages() - 1) return ok_status();
    return check_after(rank, done, unit_at(action, +1).input);
  }

  // The n-th FENCE of every rank begins behind the end of all that is before the others'.
  Status check_fences() const {
    std::vector<double> ends;  // by FENCE: the last of what is before it
    for (const std::vector<TracedAction>& rank : trace_) {
      visit_fences(rank, [&](std::size_t fence, double before_s, double) {
        if (ends.size() <= fence) ends.resize(fence + 1, before_s);
        ends[fence] = std::max(ends[fence], before_s);
      });
    }
    for (std::size_t rank = 0; rank < trace_.size(); ++rank) {
      Status status = ok_status();
      visit_fences(trace_[rank], [&](std::size_t fence, double, double begin_s) {
        if (begin_s >= ends[fence] || !status) return;
        status = fail(
            "rank {} passed FENCE {} at {:.6f} s, before all ranks had come to it at "
            "{:.6f} s",
            rank, fence + 1, begin_s, ends[fence]);
      });
      COLLIE_TRY_VOID(status);
    }
    return ok_status();
  }

  template <class Visit>
  static void visit_fences(const std::vector<TracedAction>& rank, Visit&& visit) {
    constexpr double never = std::numeric_limits<double>::lowest();  // nothing is before it
    std::size_t fence = 0;
    for (std::size_t at = 0; at < rank.size(); ++at) {
      if (rank[at].action.verb != Verb::fence) continue;
      visit(fence++, at > 0 ? rank[at - 1].end_s : never, rank[at].begin_s);
    }
  }

  const UnitPlaces& unit_at(const Action& action, int offset) const {
    return index_.unit(action.stage + offset, action.micro_batch, action.slice, action.direction);
  }

  Status check_after(std::size_t rank, const TracedAction& done, ActionPlace input) const {
    const TracedAction& made =
        trace_[static_cast<std::size_t>(input.rank)][static_cast<std::size_t>(input.position)];
    if (made.end_s <= done.begin_s) return ok_status();
    return fail("rank {} began {} at {:.6f} s, before {} on rank {} ended at {:.6f} s", rank,
                to_string(done.action), done.begin_s, to_string(made.action), input.rank,
                made.end_s);
  }

  const Schedule& schedule_;
  const Trace& trace_;
  ActionIndex index_;
};

}  // namespace

Status check_conformance(const Schedule& schedule, const Trace& trace) {
  if (!schedule.policy.decides()) return Conformance(schedule, trace).check();
  // What was chosen is a program of the same actions, in an order that their inputs allow.
  const Schedule chosen = recorded(schedule, trace);
  for (std::size_t rank = 0; rank < chosen.programs.size(); ++rank) {
    if (std::ranges::is_permutation(chosen.programs[rank], schedule.programs[rank])) continue;
    return make_error(ErrorCode::lost,
                      "the run did not follow schedule {}: rank {} did other actions than its "
                      "program has",
                      schedule.name, rank);
  }
  return Conformance(chosen, trace).check();
}

Schedule recorded(const Schedule& schedule, const Trace& trace) {
  Schedule chosen = schedule;
  chosen.policy = {};
  for (std::size_t rank = 0; rank < trace.size(); ++rank) {
    chosen.programs[rank].clear();
    for (const TracedAction& done : trace[rank]) chosen.programs[rank].push_back(done.action);
  }
  return chosen;
}

}  // namespace collie
