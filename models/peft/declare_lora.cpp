#include <cmath>
#include <span>

#include "models/peft/declare_adapters.hpp"

namespace collie {

namespace {

class LoraDeclarer : AdapterDeclarer {
 public:
  using AdapterDeclarer::AdapterDeclarer;

  // The A's of joined weights are joined too, so that one product makes all their outputs.
  std::vector<ParameterSpec> declare(const std::vector<ParameterSpec>& base) {
    for (std::size_t first = 0, next = 0; first < base.size(); first = next) {
      for (next = first + 1; next < base.size() && base[next].joined;) ++next;
      const std::span group(base.data() + first, next - first);
      const std::size_t first_a = made_.size();
      if (group.front().name == "embedding") declare_embedding(group.front());
      for (const ParameterSpec& weight : group) {
        if (is_adapted(weight)) declare_a(weight, made_.size() > first_a);
      }
      for (const ParameterSpec& weight : group) {
        if (is_adapted(weight)) declare_b(weight);
      }
      for (const ParameterSpec& weight : group) {
        if (tuning_.dora && is_adapted(weight)) declare_magnitude(weight);
      }
    }
    return std::move(made_);
  }

 private:
  void declare_a(const ParameterSpec& weight, bool follows) {
    const std::string path = adapted_path(weight);
    if (follows && path == last_path_) return;  // one A for weights that are one in files
    last_path_ = path;
    ParameterSpec& a = add(weight.name + ".lora_a", tuning_.rank_of(path), weight.cols);
    a.joined = follows;
    a.col_begin = weight.col_begin;
    a.col_end = weight.col_end;
    if (a.local_cols() == a.cols) replicate(a, true);
    // Else the variance of PEFT's uniform(-1/sqrt(K), 1/sqrt(K)).
    a.stddev = tuning_.start == LoraStart::gaussian
                   ? 1.0 / static_cast<double>(a.rows)
                   : 1.0 / std::sqrt(3.0 * static_cast<double>(weight.cols));
    a.hf.tensor = fmt::format("{}{}.lora_A.weight", adapter_file_prefix, path);
  }

  void declare_b(const ParameterSpec& weight) {
    const std::string path = adapted_path(weight);
    ParameterSpec& b = add(weight.name + ".lora_b", weight.rows, tuning_.rank_of(path));
    b.initial = Initial::zeros;
    b.hf.tensor = fmt::format("{}{}.lora_B.weight", adapter_file_prefix, path);
    cut_like_rows(b, weight);
    if (weight.name == "head") b.owned = true;  // a tied head is not, its adapter is
  }

  // Starts as the norms of the weight's rows: see initialize_magnitudes.
  void declare_magnitude(const ParameterSpec& weight) {
    ParameterSpec& magnitude = add_vector(weight.name + ".magnitude", weight.rows);
    magnitude.initial = Initial::ones;
    magnitude.hf.tensor =
        fmt::format("{}{}.lora_magnitude_vector", adapter_file_prefix, module_path(weight));
    cut_like_rows(magnitude, weight);
  }

  // PEFT's start: the embedding's A is zero and its B is not.
  void declare_embedding(const ParameterSpec& table) {
    const std::string path = module_path(table);
    if (!is_target(tuning_, traits_, path)) return;
    ParameterSpec& a = add(table.name + ".lora_embedding_a", table.rows, tuning_.rank_of(path));
    cut_like_rows(a, table);
    a.initial = Initial::zeros;
    a.hf.transposed = true;
    a.hf.tensor = fmt::format("{}{}.lora_embedding_A", adapter_file_prefix, path);
    ParameterSpec& b = add(table.name + ".lora_embedding_b", table.cols, tuning_.rank_of(path));
    b.stddev = 1.0;
    b.hf.tensor = fmt::format("{}{}.lora_embedding_B", adapter_file_prefix, path);
    replicate(b, true);
  }

  std::string last_path_;
};

}  // namespace

std::vector<ParameterSpec> declare_lora(const Tuning& tuning, const ModelTraits& traits,
                                        const StageSlice& slice,
                                        const std::vector<ParameterSpec>& base) {
  return LoraDeclarer(tuning, traits, slice).declare(base);
}

}  // namespace collie
