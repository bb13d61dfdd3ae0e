#include "actors/protocol/version_uses.hpp"

#include <algorithm>

namespace collie {

std::vector<VersionUse> version_uses(const Schedule& schedule, const std::vector<Action>& program) {
  const Versions& rules = schedule.versions;
  std::vector<VersionUse> uses(program.size());
  std::vector<int> forward_version(static_cast<std::size_t>(schedule.micro_batches), 0);
  std::vector<std::size_t> last_reader;  // by version
  int latest = 0;
  for (std::size_t at = 0; at < program.size(); ++at) {
    const Action& action = program[at];
    if (action.verb == Verb::step) {
      uses[at].version = latest++;
      continue;
    }
    int& of_forward = forward_version[static_cast<std::size_t>(action.micro_batch)];
    const bool is_forward = action.verb == Verb::forward;
    const int version = version_read(is_forward ? rules.forward : rules.backward, schedule,
                                     action.micro_batch, latest, of_forward);
    if (is_forward) of_forward = version;
    COLLIE_CHECK(version <= latest, "{} reads version {} of {}", to_string(action), version,
                 latest);
    uses[at].version = version;
    last_reader.resize(std::max(last_reader.size(), static_cast<std::size_t>(version) + 1));
    last_reader[static_cast<std::size_t>(version)] = at;
  }
  last_reader.resize(static_cast<std::size_t>(latest) + 1);
  for (std::size_t at = 0; at < program.size(); ++at) {
    const std::size_t last = last_reader[static_cast<std::size_t>(uses[at].version)];
    uses[at].is_last = last == at;
    uses[at].keeps = program[at].verb == Verb::step && last > at;
  }
  return uses;
}

}  // namespace collie
