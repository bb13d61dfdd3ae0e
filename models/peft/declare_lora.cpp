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
    const std::string path = module_path(weight);
    if (follows && path == last_path_) return;  // one A for weights that are one in files
    last_path_ = path;
    ParameterSpec& a = add(weight.name + ".lora_a", tuning_.rank, weight.cols);
    a.joined = follows;
    a.col_begin = weight.col_begin;
    a.col_end = weight.col_end;
    if (a.local_cols() == a.cols) replicate(a, true);
    // The variance of PEFT's uniform(-1/sqrt(K), 1/sqrt(K)).
    a.stddev = 1.0 / std::sqrt(3.0 * static_cast<double>(weight.cols));
    a.hf.tensor = fmt::format("{}{}.lora_A.weight", adapter_file_prefix, path);
  }

  void declare_b(const ParameterSpec& weight) {
    ParameterSpec& b = add(weight.name + ".lora_b", weight.rows, tuning_.rank);
    b.initial = Initial::zeros;
    b.hf.tensor = fmt::format("{}{}.lora_B.weight", adapter_file_prefix, module_path(weight));
    cut_like_rows(b, weight);
  }

  // Starts as the norms of the weight's rows: see initialize_magnitudes.
  void declare_magnitude(const ParameterSpec& weight) {
    ParameterSpec& magnitude = add_vector(weight.name + ".magnitude", weight.rows);
    magnitude.initial = Initial::ones;
    magnitude.hf.tensor =
        fmt::format("{}{}.lora_magnitude_vector", adapter_file_prefix, module_path(weight));
    cut_like_rows(magnitude, weight);
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
