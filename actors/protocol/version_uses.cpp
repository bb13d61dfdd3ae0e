#include "actors/protocol/version_uses.hpp"

#include <algorithm>

namespace collie {

namespace {

// One stage of the rank, while the program is walked.
struct Chunk {
  int latest = 0;
  bool predicts = false;                       // PREDICTs are written for it
  int predicted = 0;                           // the version that the last of them carried on
  std::vector<VersionUse> of_forward;          // by micro-batch
  std::vector<std::size_t> last_reader = {0};  // by version
};

class Walk {
 public:
  Walk(const Schedule& schedule, const std::vector<Action>& program)
      : schedule_(schedule), chunks_(static_cast<std::size_t>(schedule.stages())) {
    const auto micro_batches = static_cast<std::size_t>(schedule.micro_batches);
    for (Chunk& chunk : chunks_) chunk.of_forward.resize(micro_batches);
    for (const Action& action : program) {
      if (action.verb == Verb::predict) chunk_of(action).predicts = true;
    }
  }

  Chunk& chunk_of(const Action& action) { return chunks_[static_cast<std::size_t>(action.stage)]; }

  VersionUse use(const Action& action) {
    Chunk& chunk = chunk_of(action);
    switch (action.verb) {
      case Verb::step:
        chunk.last_reader.push_back(0);
        return {.version = chunk.latest++};
      case Verb::predict:
        return {.version = chunk.predicted = chunk.latest};
      case Verb::forward:
        return of_forward(action, chunk) = read(schedule_.versions.forward, action, chunk);
      case Verb::recompute:
        return of_forward(action, chunk);
      default:
        return read(schedule_.versions.backward, action, chunk);
    }
  }

 private:
  static VersionUse& of_forward(const Action& action, Chunk& chunk) {
    return chunk.of_forward[static_cast<std::size_t>(action.micro_batch)];
  }

  VersionUse read(VersionRule rule, const Action& action, Chunk& chunk) const {
    if (rule == VersionRule::predicted && chunk.predicts) {
      return {.version = chunk.predicted, .is_predicted = true};
    }
    const int version = version_read(rule, schedule_, action.micro_batch, chunk.latest,
                                     of_forward(action, chunk).version);
    COLLIE_CHECK(version <= chunk.latest, "{} reads version {} of {}", to_string(action), version,
                 chunk.latest);
    return {.version = version};
  }

  const Schedule& schedule_;
  std::vector<Chunk> chunks_;  // by stage; those of other ranks stay as they are
};

}  // namespace

std::vector<VersionUse> version_uses(const Schedule& schedule, const std::vector<Action>& program) {
  std::vector<VersionUse> uses(program.size());
  Walk walk(schedule, program);
  for (std::size_t at = 0; at < program.size(); ++at) {
    if (program[at].verb == Verb::fence) continue;
    uses[at] = walk.use(program[at]);
    if (program[at].verb == Verb::step || uses[at].is_predicted) continue;
    walk.chunk_of(program[at]).last_reader[static_cast<std::size_t>(uses[at].version)] = at;
  }
  for (std::size_t at = 0; at < program.size(); ++at) {
    const Verb verb = program[at].verb;
    if (verb == Verb::fence || uses[at].is_predicted) continue;
    const std::vector<std::size_t>& readers = walk.chunk_of(program[at]).last_reader;
    const std::size_t last = readers[static_cast<std::size_t>(uses[at].version)];
    uses[at].is_last = verb != Verb::step && last == at;
    uses[at].keeps = verb == Verb::step && last > at;
  }
  return uses;
}

}  // namespace collie
