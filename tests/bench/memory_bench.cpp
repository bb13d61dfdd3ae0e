// Bytes a parameter of a training step, as a Markdown table: what `plan` says for each optimizer
// and tuning method, beside what one step of the same run takes where the machine can hold it.
//
//   memory_bench [--measure-up-to MILLIONS] [--only METHOD]
//
// "held" are weights, gradients and optimizer state; "peak" is the most that tensors take at once,
// activations included. bfloat16 with float32 masters, but for LOMO and AdaLomo, which have
// bfloat16 weights alone and clip by the norm of the step before, or exactly, in two passes. One
// row of tokens at a time, two a step, for LOMO and AdaLomo one, as in CoLLiE's measurement; every
// activation that can be recomputed is.
#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>

#include "actors/plan.hpp"
#include "tests/unit/actors/measured_grid.hpp"

namespace collie::bench {
namespace {

struct Size {
  const char* name;
  std::int64_t hidden, layers, heads, ffn, vocabulary, sequence;
};

// gpt2: tied, learned positions; the others are llama's, untied. The large ones are LLaMA's.
constexpr std::array<Size, 8> sizes = {{
    {"1M", 128, 4, 4, 344, 2048, 64},
    {"10M", 256, 8, 4, 688, 8000, 64},
    {"124M", 768, 12, 12, 0, 50257, 64},
    {"1.3B", 2048, 24, 16, 5504, 32000, 2048},
    {"7B", 4096, 32, 32, 11008, 32000, 2048},
    {"13B", 5120, 40, 40, 13824, 32000, 2048},
    {"30B", 6656, 60, 52, 17920, 32000, 2048},
    {"65B", 8192, 80, 64, 22016, 32000, 2048},
}};

struct Method {
  std::string name;
  const char* collie;  // its published bytes a parameter, activations included
  std::vector<std::string> overrides;
};

std::vector<Method> all_methods() {
  std::vector<Method> methods = {
      {"adamw", "30.5", {}},
      {"adamw, bfloat16 states", "", {"train.optimizer.state_dtype=bfloat16"}},
      {"lion", "30.5", {"train.optimizer.name=lion"}},
      {"adan", "34.5", {"train.optimizer.name=adan"}},
      {"sophia", "", {"train.optimizer.name=sophia"}},
      {"sgd", "", {"train.optimizer.name=sgd"}},
      {"adafactor", "", {"train.optimizer.name=adafactor"}},
      {"muon", "", {"train.optimizer.name=muon"}},
  };
  for (const char* name : {"lomo", "adalomo"}) {
    const std::vector<std::string> lean = {std::string("train.optimizer.name=") + name,
                                           "model.master_weights=false", "train.accumulation=1"};
    methods.push_back({name, "2.1", lean});
    methods.back().overrides.emplace_back("train.optimizer.clip=previous");
    methods.push_back({fmt::format("{}, two passes", name), "2.1", lean});
  }
  for (const char* name : {"lora", "prefix", "prompt", "p_tuning", "ia3", "houlsby"}) {
    const bool is_published =
        std::string_view(name) != "ia3" && std::string_view(name) != "houlsby";
    methods.push_back({name, is_published ? "2.1" : "", {std::string("tuning.method=") + name}});
  }
  return methods;
}

Json model_of(const Size& size) {
  if (size.ffn == 0) {
    return Json{{"model_type", "gpt2"},   {"vocab_size", size.vocabulary}, {"n_embd", size.hidden},
                {"n_layer", size.layers}, {"n_head", size.heads},          {"n_positions", 1024}};
  }
  return Json{{"model_type", "llama"},
              {"vocab_size", size.vocabulary},
              {"hidden_size", size.hidden},
              {"num_hidden_layers", size.layers},
              {"num_attention_heads", size.heads},
              {"num_key_value_heads", size.heads},
              {"intermediate_size", size.ffn},
              {"max_position_embeddings", 2048},
              {"rms_norm_eps", 1e-5},
              {"tie_word_embeddings", false}};
}

Result<RunConfig> config_of(const Size& size, const Method& method) {
  const Json config{
      {"model",
       {{"tokenizer_vocab_size", size.vocabulary},
        {"dtype", "bfloat16"},
        {"fresh", model_of(size)}}},
      {"data", {{"sequence_length", size.sequence}}},
      {"grid", {{"threads", 1}}},
      {"train",
       {{"max_steps", 1}, {"micro_batch_size", 1}, {"accumulation", 2}, {"recompute", "full"}}}};
  return parse_config(config.dump(), "memory_bench", method.overrides);
}

// Of both, the peak; of the prediction also what is held.
struct Cell {
  double held = 0.0, peak = 0.0, measured = 0.0;  // bytes a parameter; measured 0: not
};

Result<Cell> cell_of(const Size& size, const Method& method, double measured_up_to) {
  COLLIE_TRY(const RunConfig config, config_of(size, method));
  COLLIE_TRY(const Plan plan, make_plan(config));
  const auto count = static_cast<double>(plan.parameter_count);
  Cell cell{static_cast<double>(plan.shards[0].parameter_bytes) / count,
            static_cast<double>(plan.shards[0].peak_bytes) / count, 0.0};
  if (count > measured_up_to) return cell;
  testing::MeasuredGrid grid(config);
  grid.train(2);
  cell.measured = static_cast<double>(grid.memory_of(0).peak_bytes) / count;
  return cell;
}

std::string text_of(const Cell& cell) {
  if (cell.measured == 0.0) return fmt::format("{:.2f} / {:.2f}", cell.held, cell.peak);
  return fmt::format("{:.2f} / {:.2f} / {:.2f} ({:+.1f} %)", cell.held, cell.peak, cell.measured,
                     100.0 * (cell.peak / cell.measured - 1.0));
}

Status print_table(double measured_up_to, const std::string& only) {
  fmt::print("Bytes a parameter: held / peak planned (/ peak measured, error of the plan)\n\n");
  fmt::print("| method |");
  for (const Size& size : sizes) fmt::print(" {} |", size.name);
  fmt::print(" CoLLiE |\n|---|");
  for (std::size_t i = 0; i < sizes.size(); ++i) fmt::print("---|");
  fmt::print("---|\n");
  for (const Method& method : all_methods()) {
    if (!only.empty() && only != method.name) continue;
    fmt::print("| {} |", method.name);
    for (const Size& size : sizes) {
      COLLIE_TRY(const Cell cell, cell_of(size, method, measured_up_to));
      fmt::print(" {} |", text_of(cell));
      std::fflush(stdout);
    }
    fmt::print(" {} |\n", method.collie);
  }
  return ok_status();
}

}  // namespace
}  // namespace collie::bench

int main(int count, char** values) {
  double measured_millions = 200.0;
  std::string only;
  CLI::App program("Bytes a parameter, planned and measured");
  program.add_option("--measure-up-to", measured_millions,
                     "measure models of at most so many million parameters");
  program.add_option("--only", only, "one method alone");
  CLI11_PARSE(program, count, values);
  const collie::Status status = collie::bench::print_table(measured_millions * 1e6, only);
  if (status) return 0;
  fmt::print(stderr, "memory_bench: {}\n", status.error().message);
  return 2;
}
