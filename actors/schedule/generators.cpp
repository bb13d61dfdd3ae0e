#include "actors/schedule/generators.hpp"

#include "actors/schedule/generators/all.hpp"
#include "runtime/suggest.hpp"

namespace collie {

const std::vector<Generator>& schedule_generators() {
  static const std::vector<Generator> generators = {
      {"gpipe", "GPipe", "Huang et al., NeurIPS 2019", false, gpipe},
      {"1f1b", "1F1B (PipeDream-Flush, DAPPLE)", "Narayanan et al., ICML 2021", false, one_f_one_b},
  };
  return generators;
}

Result<Schedule> make_schedule(std::string_view name, const GeneratorOptions& options) {
  std::vector<std::string_view> known;
  for (const Generator& generator : schedule_generators()) {
    if (generator.name == name) return generator.generate(options);
    known.push_back(generator.name);
  }
  return make_error(ErrorCode::invalid_config, "no schedule named \"{}\"; known: {}", name,
                    fmt::join(known, ", "));
}

Schedule forward_only(const Placement& placement, int micro_batches) {
  Schedule schedule{.name = "forward-only", .placement = placement, .micro_batches = micro_batches};
  schedule.programs.resize(static_cast<std::size_t>(placement.ranks()));
  for (int mb = 0; mb < micro_batches; ++mb) {
    for (int stage = 0; stage < placement.stages(); ++stage) {
      const auto rank = static_cast<std::size_t>(placement.rank_of(stage));
      schedule.programs[rank].push_back({Verb::forward, stage, mb});
    }
  }
  return schedule;
}

}  // namespace collie
