// The parameters one shard holds: declared by the decoder, kept in flat stores so that optimizers
// and reductions run over one range, and bound to the tensors of a Hugging Face directory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/stream.hpp"

namespace collie {

// How one parameter is cut over the tensor shards of a stage.
enum class Split { none, rows, columns };

enum class Initial { normal, zeros, ones };

// Where a parameter's values stand in a Hugging Face directory. Our layout is [out, in]; GPT-2's
// Conv1D files hold [in, out] and put q, k and v into one tensor.
struct HfBinding {
  std::string tensor;           // name in the files
  bool transposed = false;      // the file's tensor is [in, out]
  std::int64_t row_offset = 0;  // our row 0 is this row of the file's (untransposed) tensor
  std::int64_t file_rows = 0;   // rows of the file's (untransposed) tensor
};

// One named parameter: its global shape and the part [row_begin, row_end) x [col_begin, col_end)
// that this shard holds. Vectors have cols = 1 and are cut by rows.
struct ParameterSpec {
  std::string name;  // canonical, e.g. "layers.3.attention.q"; the same on every grid
  std::int64_t rows = 0;
  std::int64_t cols = 1;
  bool is_vector = false;  // stored as [rows] in files
  // Follows the parameter before it without padding: the two are rows of one matrix (q, k, v; gate,
  // up) for kernels.
  bool joined = false;
  std::int64_t row_begin = 0, row_end = 0;
  std::int64_t col_begin = 0, col_end = 0;
  bool decay = true;  // false for norms and biases
  Initial initial = Initial::normal;
  double stddev = 0.02;
  // Each shard has only its part of the gradient although all hold these values (q/k norms,
  // key/value heads shared by several shards): the gradients must be summed over shards
  // [gradient_group_begin, gradient_group_end) of the stage. Empty range: nothing to do.
  int gradient_group_begin = 0, gradient_group_end = 0;
  // This shard is the one that counts it in norms, hashes it and saves it.
  bool owned = true;
  // The output head's use of a tied embedding: same values as this other parameter, own gradient.
  std::string tied_to;
  HfBinding hf;

  std::int64_t local_rows() const { return row_end - row_begin; }
  std::int64_t local_cols() const { return col_end - col_begin; }
  std::int64_t local_count() const { return local_rows() * local_cols(); }
};

// Flat stores over all specs, in the order declared; each parameter that is not joined to the one
// before it starts at a multiple of 16 elements. Decayed parameters need no separate store:
// optimizers walk the specs.
//
// A tied output head next to its embedding is an alias: it shares the embedding's values, takes no
// room in the flat stores (padded_count 0) and has a gradient of its own beside them.
class Parameters {
 public:
  // compute_dtype bf16 adds a rounded copy of the values for the kernels. Values are undefined
  // until initialize() or load_parameters(); padding is zero.
  Parameters(Allocator& allocator, std::vector<ParameterSpec> specs, DType compute_dtype,
             bool with_gradients);

  const std::vector<ParameterSpec>& specs() const { return specs_; }
  int count() const { return static_cast<int>(specs_.size()); }
  int find(std::string_view name) const;  // -1 when absent
  bool is_alias(int index) const { return alias_of_[static_cast<std::size_t>(index)] >= 0; }

  // Views of one parameter: [local_rows, local_cols], or [local_rows] for a vector.
  Tensor value(int index) const;     // f32 master
  Tensor compute(int index) const;   // what kernels read: f32 itself or the bf16 copy
  Tensor gradient(int index) const;  // f32
  // From now on compute() and compute_rows() are views of this flat store (laid out like
  // computes()); an undefined one: of computes() again.
  void read_from(Tensor store) { read_ = store ? std::move(store) : computes_; }
  // One matrix over consecutive joined parameters (q, k, v; gate, up), or one vector.
  Tensor compute_rows(int first, int count) const;
  Tensor gradient_rows(int first, int count) const;

  // The whole flat stores, f32 (compute: bf16 or the values), padding included and zero.
  Tensor& values() { return values_; }
  Tensor& gradients() { return gradients_; }
  Tensor& computes() { return computes_; }
  const Tensor& values() const { return values_; }
  DType compute_dtype() const { return compute_dtype_; }
  // Offset and padded length of one parameter in the flat stores, in elements.
  std::int64_t offset(int index) const { return offsets_[static_cast<std::size_t>(index)]; }
  std::int64_t padded_count(int index) const;

  // Both run kernels: call them from work submitted to the stream. Values depend on
  // (seed, name, global index) alone, so every grid starts from the same model.
  void initialize(Stream& stream, std::uint64_t seed);
  void refresh_compute(Stream& stream);  // bf16 copy from the values; nothing to do for f32

 private:
  Tensor view(const Tensor& store, int index) const;
  Tensor joined_view(const Tensor& store, int first, int count) const;

  std::vector<ParameterSpec> specs_;
  std::vector<std::int64_t> offsets_;
  std::vector<std::int64_t> ends_;  // padded
  std::vector<int> alias_of_;       // -1: none
  DType compute_dtype_;
  Tensor values_, gradients_, computes_;
  Tensor read_;            // what kernels read: computes_, or another version of it
  Tensor alias_gradient_;  // of the one alias, if there is one
};

}  // namespace collie
