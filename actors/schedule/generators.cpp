#include "actors/schedule/generators.hpp"

#include <algorithm>
#include <cstdint>

#include "actors/schedule/generators/all.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {

const std::vector<Generator>& schedule_generators() {
  static const std::vector<Generator> generators = {
      {"gpipe", "GPipe", "Huang et al., NeurIPS 2019", false, gpipe},
      {"1f1b", "1F1B (PipeDream-Flush, DAPPLE)", "Narayanan et al., ICML 2021", false, one_f_one_b},
      {"interleaved", "interleaved 1F1B (virtual pipeline stages)", "Narayanan et al., SC 2021",
       false, interleaved},
      {"looped-bfs", "looped breadth-first", "Lamy-Poirier, MLSys 2023", false, looped_bfs},
      {"zb-h1", "ZB-H1", "Qi et al., ICLR 2024", false, zb_h1},
      {"zb-h2", "ZB-H2", "Qi et al., ICLR 2024", false, zb_h2},
      {"interleaved-zb", "interleaved ZB-1P", "Qi et al., ICLR 2024", false, interleaved_zb},
      {"zbv", "ZBV (handcrafted)", "Qi et al., NeurIPS 2024", false, zbv},
      {"zb-auto", "Zero Bubble, automatic under a memory cap", "Qi et al., ICLR 2024", false,
       zb_auto},
      {"zb-1p", "ZB-1p", "Qi et al., ICLR 2024", false, zb_1p},
      {"zb-2p", "ZB-2p", "Qi et al., ICLR 2024", false, zb_2p},
      {"zbv-greedy", "ZBV (greedy under a memory cap)", "Qi et al., NeurIPS 2024", false,
       zbv_greedy},
      {"v-half", "V-Half", "Qi et al., NeurIPS 2024", false, v_half},
      {"v-min", "V-Min", "Qi et al., NeurIPS 2024", false, v_min},
      {"dualpipe", "DualPipe", "DeepSeek-AI, DeepSeek-V3, 2024", false, dualpipe},
      {"dualpipev", "DualPipeV", "DeepSeek-AI and Sea AI Lab, 2025", false, dualpipev},
      {"chimera", "Chimera", "Li and Hoefler, SC 2021", false, chimera},
      {"hanayo", "Hanayo", "Liu et al., SC 2023", false, hanayo},
      {"seq1f1b", "Seq1F1B", "Sun et al., NAACL 2025", false, seq1f1b},
      {"pipedream", "PipeDream (weight stashing)", "Narayanan et al., SOSP 2019", true, pipedream},
      {"pipedream-vsync", "PipeDream (vertical sync)", "Narayanan et al., SOSP 2019", true,
       pipedream_vsync},
      {"pipedream-2bw", "PipeDream-2BW", "Narayanan et al., ICML 2021", true, pipedream_2bw},
      {"pipemare", "PipeMare", "Yang et al., MLSys 2021", true, pipemare},
      {"spectrain", "SpecTrain", "Chen et al., 2018", true, spectrain},
      {"xpipe", "XPipe", "Guan et al., 2019", true, xpipe},
      {"pipeoptim", "PipeOptim", "Guan et al., 2023", true, pipeoptim},
      {"nesterov", "PipeDream with Nesterov delay correction", "Ajanthan et al., ICML 2025", true,
       nesterov},
      {"paci", "local steps without flush (PACI)", "arXiv 2606.07881", true, paci},
  };
  return generators;
}

namespace {

Status check_between(std::string_view key, int value, int low, int high) {
  if (value >= low && value <= high) return ok_status();
  return make_error(ErrorCode::invalid_config, "schedule: {} is {}; it must be from {} to {}", key,
                    value, low, high);
}

// Before anything is allocated.
Status check_bounds(const GeneratorOptions& options) {
  COLLIE_TRY_VOID(check_between("ranks", options.ranks, 1, limits::schedule_ranks_max));
  COLLIE_TRY_VOID(
      check_between("micro_batches", options.micro_batches, 1, limits::micro_batches_max));
  COLLIE_TRY_VOID(check_between("chunks", options.chunks, 0, limits::schedule_stages_max));
  COLLIE_TRY_VOID(check_between("group", options.group, 0, limits::micro_batches_max));
  COLLIE_TRY_VOID(check_between("slices", options.slices, 1, limits::schedule_slices_max));
  COLLIE_TRY_VOID(
      check_between("warm_up_steps", options.warm_up_steps, 0, limits::micro_batches_max));
  const std::int64_t stages = std::int64_t{options.ranks} * std::max(options.chunks, 2);
  const std::int64_t units = stages * options.micro_batches * options.slices;
  if (stages <= limits::schedule_stages_max &&
      units <= static_cast<std::int64_t>(limits::schedule_units_max)) {
    return ok_status();
  }
  return make_error(ErrorCode::invalid_config,
                    "schedule: {} ranks x {} chunks x {} micro-batches x {} slices are too many; "
                    "at most {} stages and {} units of work",
                    options.ranks, std::max(options.chunks, 2), options.micro_batches,
                    options.slices, limits::schedule_stages_max, limits::schedule_units_max);
}

}  // namespace

Result<Schedule> make_schedule(std::string_view name, const GeneratorOptions& options) {
  std::vector<std::string> known;
  for (const Generator& generator : schedule_generators()) {
    known.emplace_back(generator.name);
    if (generator.name != name) continue;
    COLLIE_TRY_VOID(check_bounds(options));
    return generator.generate(options);
  }
  return make_error(ErrorCode::invalid_config, "no schedule named {}{}; known: {}",
                    quoted_name(name), did_you_mean(name, known), fmt::join(known, ", "));
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
