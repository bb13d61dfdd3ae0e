#include <algorithm>

#include "actors/schedule/validate/checks.hpp"

namespace collie::checks {

namespace {

// One stage in one direction, while its rank's program is walked. A version is the number of STEPs.
struct Chunk {
  int steps = 0;
  int last_forward = 0;
  bool has_pins = false;
  bool predicts = false;                // PREDICTs are written for it
  int predictions = 0;                  // PREDICTs so far
  int predicted = 0;                    // the version that the last of them carried on
  std::vector<int> last_reader = {-1};  // by version: position
  std::vector<int> users = {0};         // by version: micro-batches between forward and backward
  std::vector<char> is_pinned = {0};    // by version
  int alive = 1, in_use = 1, pinned = 0;
};

class Walk {
 public:
  explicit Walk(const Subject& subject)
      : subject_(subject),
        schedule_(subject.schedule),
        chunks_(index_of(schedule_.stages()) * index_of(schedule_.placement.directions())) {
    result_.units.resize(subject.index.unit_count());
    result_.stages.resize(index_of(schedule_.stages()));
  }

  VersionWalk run() {
    for_each_action([&](const Action& action) {
      if (action.verb == Verb::pin) chunk_of(action).has_pins = true;
      if (action.verb == Verb::predict) chunk_of(action).predicts = true;
    });
    for_each_action([&](const Action& action) { read(action); });
    for (std::size_t i = 0; i < chunks_.size(); ++i) check_leaks(i);
    for (Chunk& chunk : chunks_) {
      chunk.steps = 0;
      std::ranges::fill(chunk.is_pinned, 0);
    }
    for_each_action([&](const Action& action) { count(action); });
    return std::move(result_);
  }

 private:
  template <class Visit>
  void for_each_action(Visit&& visit) {
    for (rank_ = 0; rank_ < schedule_.ranks(); ++rank_) {
      const std::vector<Action>& program = schedule_.programs[index_of(rank_)];
      for (position_ = 0; index_of(position_) < program.size(); ++position_) {
        const Action& action = program[index_of(position_)];
        if (action.verb != Verb::fence) visit(action);
      }
    }
  }

  Chunk& chunk_of(const Action& action) {
    return chunks_[index_of(action.direction) * index_of(schedule_.stages()) +
                   index_of(action.stage)];
  }
  UnitVersions& unit_of(const Action& action) {
    return result_.units[subject_.index.unit_key(action)];
  }
  std::string here() const { return describe(schedule_, {rank_, position_}); }

  template <class... Args>
  void report(Invariant invariant, fmt::format_string<Args...> format, Args&&... args) {
    for (const Violation& known : result_.violations) {
      if (known.invariant == invariant) return;
    }
    result_.violations.push_back(violation(invariant, format, std::forward<Args>(args)...));
  }

  // First pass: which version each action reads.
  void read(const Action& action) {
    Chunk& chunk = chunk_of(action);
    switch (action.verb) {
      case Verb::forward:
        read_forward(action, chunk);
        break;
      case Verb::recompute:
        read_recompute(action, chunk);
        break;
      case Verb::step:
        ++chunk.steps;
        chunk.last_reader.push_back(-1);
        chunk.users.push_back(0);
        chunk.is_pinned.push_back(0);
        break;
      case Verb::predict:
        predict(action, chunk);
        break;
      case Verb::pin:
        pin(action, chunk);
        break;
      case Verb::drop:
        drop(action, chunk);
        break;
      default:
        break;
    }
    if (makes_input_gradient(action.verb)) {
      UnitVersions& unit = unit_of(action);
      unit.backward = version_of(schedule_.versions.backward, action, chunk, unit.forward);
      if (!is_predicted(schedule_.versions.backward, chunk)) use(action, chunk, unit.backward);
    }
    if (makes_weight_gradient(action.verb)) unit_of(action).update = chunk.steps;
  }

  // Whether what is read by the rule is made by PREDICTs, beside the versions.
  static bool is_predicted(VersionRule rule, const Chunk& chunk) {
    return rule == VersionRule::predicted && chunk.predicts;
  }

  int version_of(VersionRule rule, const Action& action, const Chunk& chunk, int of_forward) {
    if (!is_predicted(rule, chunk)) {
      return version_read(rule, schedule_, action.micro_batch, chunk.steps, of_forward);
    }
    if (chunk.predictions == 0) {
      report(Invariant::lifetime,
             "{} and reads predicted weights of stage {}, but no PREDICT{} comes before: put one "
             "there",
             here(), action.stage, action.stage);
    }
    return chunk.predicted;
  }

  void predict(const Action& action, Chunk& chunk) {
    const Versions& versions = schedule_.versions;
    if (versions.forward != VersionRule::predicted && versions.backward != VersionRule::predicted) {
      report(Invariant::lifetime,
             "{}, but nothing reads predicted weights: say versions forward=predicted "
             "backward=latest correction=pipe-optim, or remove it",
             here());
    }
    chunk.predicted = chunk.steps;
    ++chunk.predictions;
    use(action, chunk, chunk.steps);
  }

  void read_forward(const Action& action, Chunk& chunk) {
    const int version = version_of(schedule_.versions.forward, action, chunk, chunk.steps);
    if (version < chunk.last_forward) {
      report(Invariant::version_window,
             "{} and reads version {} of stage {}, older than version {}, which a forward before "
             "it read: forwards go on to newer weights only",
             here(), version, action.stage, chunk.last_forward);
    }
    chunk.last_forward = std::max(chunk.last_forward, version);
    unit_of(action).forward = version;
    unit_of(action).prediction = chunk.predictions;
    if (!is_predicted(schedule_.versions.forward, chunk)) use(action, chunk, version);
  }

  void read_recompute(const Action& action, Chunk& chunk) {
    UnitVersions& unit = unit_of(action);
    if (unit.is_recomputed) {
      report(Invariant::recompute, "{}, and not for the first time: remove one", here());
    }
    unit.is_recomputed = true;
    if (is_predicted(schedule_.versions.forward, chunk)) {
      if (unit.prediction == chunk.predictions) return;
      report(Invariant::recompute,
             "{}, but a PREDICT{} came after its forward: the activations would differ; recompute "
             "before it",
             here(), action.stage);
      return;
    }
    if (schedule_.versions.correction == Correction::xpipe) {
      report(Invariant::recompute,
             "{}, but xpipe predicts once for all micro-batches of an update, so that the weights "
             "of its forward may be gone: write PREDICT{} where they are predicted, or remove it",
             here(), action.stage);
    }
    const int forward = unit.forward;
    const int version = version_read(schedule_.versions.backward, schedule_, action.micro_batch,
                                     chunk.steps, forward);
    if (version != forward) {
      report(Invariant::recompute,
             "{} with version {} of stage {}, but its forward read version {}: the activations "
             "would differ; stash the version or recompute before the STEP",
             here(), version, action.stage, forward);
    }
    use(action, chunk, version);
  }

  void use(const Action& action, Chunk& chunk, int version) {
    if (version > chunk.steps) {
      const std::string remedy =
          schedule_.versions.forward == VersionRule::previous_group
              ? fmt::format("groups of at least {} micro-batches make it in time",
                            schedule_.stages() - 1 - action.stage)
              : "move it behind that STEP";
      report(Invariant::version_window,
             "{} and reads version {} of stage {}, but only {} STEP{} of it come{} before: {}",
             here(), version, action.stage, chunk.steps, chunk.steps == 1 ? "" : "s",
             chunk.steps == 1 ? "s" : "", remedy);
      return;
    }
    chunk.last_reader[index_of(version)] = position_;
    if (!chunk.has_pins || version == chunk.steps || chunk.is_pinned[index_of(version)] != 0) {
      return;
    }
    report(Invariant::lifetime,
           "{} and reads version {} of stage {}, which is neither the latest ({}) nor pinned: "
           "DROP{}.{} only behind its last reader",
           here(), version, action.stage, chunk.steps, action.stage, version);
  }

  void pin(const Action& action, Chunk& chunk) {
    const int version = action.micro_batch;
    if (version != chunk.steps) {
      report(Invariant::lifetime,
             "{}, but the latest version of stage {} is {}: only that can be "
             "pinned",
             here(), action.stage, chunk.steps);
    } else if (chunk.is_pinned[index_of(version)] != 0) {
      report(Invariant::lifetime, "{}, but it is pinned already: one PIN and one DROP", here());
    } else {
      chunk.is_pinned[index_of(version)] = 1;
    }
  }

  void drop(const Action& action, Chunk& chunk) {
    const int version = action.micro_batch;
    const bool is_known = version >= 0 && version <= chunk.steps;
    if (is_known && chunk.is_pinned[index_of(version)] != 0) {
      chunk.is_pinned[index_of(version)] = 0;
      return;
    }
    report(Invariant::lifetime, "{}, but version {} of stage {} is not pinned: PIN it before",
           here(), version, action.stage);
  }

  // Second pass: how many versions are alive.
  void count(const Action& action) {
    Chunk& chunk = chunk_of(action);
    const UnitVersions* unit = has_micro_batch(action.verb) ? &unit_of(action) : nullptr;
    if (action.verb == Verb::forward) {
      // An own copy is kept for a backward that reads it, unless that reads the latest anyway.
      if (holds_version(*unit, chunk)) hold(chunk, unit->forward);
      finish_reader(chunk, unit->forward);
    }
    if (action.verb == Verb::recompute) finish_reader(chunk, unit->forward);
    if (makes_input_gradient(action.verb)) {
      if (holds_version(*unit, chunk)) let_go(chunk, unit->forward);
      finish_reader(chunk, unit->backward);
    }
    if (action.verb == Verb::step) step(chunk);
    if (action.verb == Verb::pin || action.verb == Verb::drop) count_pin(action, chunk);
    StageVersions& stage = result_.stages[index_of(action.stage)];
    // A pinned latest version is one copy, not two.
    const int extra = action.verb == Verb::step ? 1 : 0;
    const int alive = chunk.has_pins ? chunk.pinned + extra : chunk.alive;
    stage.versions = std::max(stage.versions, alive);
    stage.versions_in_use = std::max(stage.versions_in_use, chunk.in_use);
  }

  // What PREDICT made is beside the versions.
  bool holds_version(const UnitVersions& unit, const Chunk& chunk) const {
    return unit.backward == unit.forward && !is_predicted(schedule_.versions.forward, chunk);
  }

  void count_pin(const Action& action, Chunk& chunk) {
    const int version = action.micro_batch;
    if (version < 0 || version > chunk.steps) return;
    char& is_pinned = chunk.is_pinned[index_of(version)];
    const char becomes = action.verb == Verb::pin ? 1 : 0;
    chunk.pinned += becomes - is_pinned;
    is_pinned = becomes;
  }

  void hold(Chunk& chunk, int version) {
    if (version > chunk.steps) return;
    if (++chunk.users[index_of(version)] == 1 && version != chunk.steps) ++chunk.in_use;
  }

  void let_go(Chunk& chunk, int version) {
    if (version > chunk.steps || chunk.users[index_of(version)] == 0) return;
    if (--chunk.users[index_of(version)] == 0 && version != chunk.steps) --chunk.in_use;
  }

  void finish_reader(Chunk& chunk, int version) {
    if (version >= chunk.steps) return;
    if (chunk.last_reader[index_of(version)] == position_) --chunk.alive;
  }

  // The update is made in place if nothing reads the version before it any more.
  void step(Chunk& chunk) {
    const std::size_t before = index_of(chunk.steps);
    if (chunk.last_reader[before] > position_) ++chunk.alive;
    if (chunk.users[before] > 0) ++chunk.in_use;
    ++chunk.steps;
  }

  void check_leaks(std::size_t index) {
    const Chunk& chunk = chunks_[index];
    const auto left = std::ranges::find(chunk.is_pinned, 1);
    if (left == chunk.is_pinned.end()) return;
    const auto stage = index % index_of(schedule_.stages());
    report(Invariant::lifetime, "version {} of stage {} is still pinned at the end: add DROP{}.{}",
           left - chunk.is_pinned.begin(), stage, stage, left - chunk.is_pinned.begin());
  }

  const Subject& subject_;
  const Schedule& schedule_;
  std::vector<Chunk> chunks_;
  VersionWalk result_;
  int rank_ = 0;
  int position_ = 0;
};

}  // namespace

VersionWalk walk_versions(const Subject& subject) {
  return Walk(subject).run();
}

}  // namespace collie::checks
