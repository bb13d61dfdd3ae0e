// The parameters that each method adds to a slice of the model. Names in files are PEFT's.
#pragma once

#include <string_view>
#include <vector>

#include "models/peft/tuning.hpp"

namespace collie {

inline constexpr std::string_view adapter_file_prefix = "base_model.model.";

// base: the slice's own parameters. Pure.
std::vector<ParameterSpec> declare_adapters(const Tuning& tuning, const ModelTraits& traits,
                                            const StageSlice& slice,
                                            const std::vector<ParameterSpec>& base);

// One method's parameters while they are declared.
class AdapterDeclarer {
 public:
  AdapterDeclarer(const Tuning& tuning, const ModelTraits& traits, const StageSlice& slice)
      : tuning_(tuning), traits_(traits), slice_(slice) {}

 protected:
  ParameterSpec& add(std::string name, std::int64_t rows, std::int64_t cols);
  // One number a row; not decayed.
  ParameterSpec& add_vector(std::string name, std::int64_t rows);
  // All shards hold the whole; each has its part of the gradient, or all of it.
  void replicate(ParameterSpec& spec, bool gradients_add_up) const;
  // The rows of this shard, of the file and of its owner are those of a weight.
  void cut_like_rows(ParameterSpec& spec, const ParameterSpec& weight) const;
  bool is_adapted(const ParameterSpec& weight) const;

  const Tuning& tuning_;
  const ModelTraits& traits_;
  const StageSlice& slice_;
  std::vector<ParameterSpec> made_;
};

std::vector<ParameterSpec> declare_lora(const Tuning& tuning, const ModelTraits& traits,
                                        const StageSlice& slice,
                                        const std::vector<ParameterSpec>& base);

}  // namespace collie
