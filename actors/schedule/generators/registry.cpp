// All generators by name, with what they take. See generators.hpp.
#include "actors/schedule/generators/all.hpp"

namespace collie {

namespace {

constexpr Takes plain = {};
constexpr Takes two_chunks = {.chunks = 2};
constexpr Takes any_chunks = {.chunks = 0};
constexpr Takes interleaving = {.chunks = 0, .group = true};
constexpr Takes grouping = {.group = true};
constexpr Takes warming_up = {.group = true, .warm_up_steps = true};
constexpr Takes slicing = {.slices = true};
constexpr Takes planning = {.times = true, .memory_cap = true};
constexpr Takes planning_two = {.chunks = 2, .times = true, .memory_cap = true};
constexpr Takes capped_two = {.chunks = 2, .memory_cap = true};

constexpr ScheduleGenerator generators[] = {  // NOLINT(modernize-avoid-c-arrays)
    {"gpipe", "GPipe", "Huang et al., NeurIPS 2019", false, plain, "", gpipe},
    {"1f1b", "1F1B (PipeDream-Flush, DAPPLE)", "Narayanan et al., ICML 2021", false, plain, "",
     one_f_one_b},
    {"interleaved", "interleaved 1F1B (virtual pipeline stages)", "Narayanan et al., SC 2021",
     false, interleaving, "2 chunks or more", interleaved},
    {"looped-bfs", "looped breadth-first", "Lamy-Poirier, MLSys 2023", false, any_chunks,
     "2 chunks or more", looped_bfs},
    {"zb-h1", "ZB-H1", "Qi et al., ICLR 2024", false, plain, "", zb_h1},
    {"zb-h2", "ZB-H2", "Qi et al., ICLR 2024", false, plain, "", zb_h2},
    {"interleaved-zb", "interleaved ZB-1P", "Qi et al., ICLR 2024", false, interleaving,
     "2 chunks or more", interleaved_zb},
    {"zbv", "ZBV (handcrafted)", "Qi et al., NeurIPS 2024", false, two_chunks, "", zbv},
    {"zb-auto", "Zero Bubble, automatic under a memory cap", "Qi et al., ICLR 2024", false,
     planning, "", zb_auto},
    {"zb-1p", "ZB-1p", "Qi et al., ICLR 2024", false, planning, "", zb_1p},
    {"zb-2p", "ZB-2p", "Qi et al., ICLR 2024", false, planning, "", zb_2p},
    {"zbv-greedy", "ZBV (greedy under a memory cap)", "Qi et al., NeurIPS 2024", false,
     planning_two, "", zbv_greedy},
    {"v-half", "V-Half", "Qi et al., NeurIPS 2024", false, capped_two, "", v_half},
    {"v-min", "V-Min", "Qi et al., NeurIPS 2024", false, capped_two, "", v_min},
    {"dualpipe", "DualPipe", "DeepSeek-AI, DeepSeek-V3, 2024", false, two_chunks,
     "even ranks; even micro-batches, 2 per rank", dualpipe},
    {"dualpipev", "DualPipeV", "DeepSeek-AI and Sea AI Lab, 2025", false, two_chunks,
     "2 micro-batches per rank", dualpipev},
    {"chimera", "Chimera", "Li and Hoefler, SC 2021", false, two_chunks,
     "even ranks, even micro-batches", chimera},
    {"hanayo", "Hanayo", "Liu et al., SC 2023", false, any_chunks, "an even number of chunks",
     hanayo},
    {"seq1f1b", "Seq1F1B", "Sun et al., NAACL 2025", false, slicing, "", seq1f1b},
    {"pipedream", "PipeDream (weight stashing)", "Narayanan et al., SOSP 2019", true, grouping, "",
     pipedream},
    {"pipedream-vsync", "PipeDream (vertical sync)", "Narayanan et al., SOSP 2019", true, plain, "",
     pipedream_vsync},
    {"pipedream-2bw", "PipeDream-2BW", "Narayanan et al., ICML 2021", true, grouping,
     "groups of at least the ranks", pipedream_2bw},
    {"pipemare", "PipeMare", "Yang et al., MLSys 2021", true, warming_up, "", pipemare},
    {"spectrain", "SpecTrain", "Chen et al., 2018", true, grouping, "", spectrain},
    {"xpipe", "XPipe", "Guan et al., 2019", true, grouping, "", xpipe},
    {"pipeoptim", "PipeOptim", "Guan et al., 2023", true, grouping, "", pipeoptim},
    {"nesterov", "PipeDream with Nesterov delay correction", "Ajanthan et al., ICML 2025", true,
     grouping, "", nesterov},
    {"paci", "local steps without flush (PACI)", "arXiv 2606.07881", true, grouping, "", paci}};

}  // namespace

const std::vector<ScheduleGenerator>& schedule_generators() {
  static const std::vector<ScheduleGenerator> all(std::begin(generators), std::end(generators));
  return all;
}

}  // namespace collie
