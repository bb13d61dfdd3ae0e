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
  // False: frozen. It has no gradient and no optimizer state (unless it is joined to one that is
  // trained: then it has both, unused).
  bool trainable = true;
  // Of an adapter beside the model: no part of a model directory. hf names it in PEFT's files.
  bool adapter = false;
  Initial initial = Initial::normal;
  double stddev = 0.02;
  // Each shard has only its part of the gradient although all hold these values (q/k norms,
  // key/value heads shared by several shards): the gradients must be summed over shards
  // [gradient_group_begin, gradient_group_end) of the stage. Empty range: nothing to do.
  int gradient_group_begin = 0, gradient_group_end = 0;
  // This shard is the one that counts it in norms, hashes it and saves it.
  bool owned = true;
  // Parameters of one turn have their gradients at the same time; those of another turn have theirs
  // in the same room, before or after. -1: the gradient has room of its own.
  int turn = -1;
  // The output head's use of a tied embedding: same values as this other parameter, own gradient.
  std::string tied_to;
  HfBinding hf;

  std::int64_t local_rows() const { return row_end - row_begin; }
  std::int64_t local_cols() const { return col_end - col_begin; }
  std::int64_t local_count() const { return local_rows() * local_cols(); }
};

// Elements [begin, end) of the flat stores.
struct StoreRange {
  std::int64_t begin = 0, end = 0;
  bool operator==(const StoreRange&) const = default;
};

// ZeRO (Rajbhandari et al. 2020, Memory Optimizations Toward Training Trillion Parameter Models,
// section 5): which of several replicas this is, and what each keeps of its own share alone: at
// level 1 optimizer state, at level 2 gradients too, at level 3 values too.
struct Sharding {
  int replica = 0;
  int replicas = 1;
  int level = 0;
  bool shares_state() const { return level >= 1 && replicas > 1; }
  bool shares_gradients() const { return level >= 2 && replicas > 1; }
  bool shares_values() const { return level >= 3 && replicas > 1; }
};

// What is not kept: gradients that one segment makes of one micro-batch, until they have been
// reduced, or values of one segment, while it works. A gradient's memory is taken when it is first
// asked for, undefined, so gradients must be set there, not added to.
struct ParameterWindow {
  struct Group {
    int first = 0;  // of the parameters joined to each other
    Tensor flat;    // gradients: f32; values: of the compute type
  };
  Stream* stream = nullptr;
  std::vector<Group> groups;  // of gradients: in the order in which they were asked for
};

// What is held of the parameters.
struct ParameterStores {
  DType compute_dtype = DType::f32;  // f32, or bf16: a rounded copy of the values for the kernels
  bool with_gradients = true;
  // false: bf16 values alone, no f32 ones; needs compute_dtype bf16. What is frozen has none
  // anyway.
  bool master_weights = true;
  Sharding sharding;  // not together with parameters that take turns
};

// Flat stores over all specs: what is trained in the order declared, then what is frozen. Each
// parameter that is not joined to the one before it starts at a multiple of 16 elements. Decayed
// parameters need no separate store: optimizers walk the specs.
//
// A tied output head next to its embedding is an alias: it shares the embedding's values, takes no
// room in the flat stores (padded_count 0) and has a gradient of its own beside them; where
// parameters take turns its gradient is the embedding's, to which the embedding's part is added.
class Parameters {
 public:
  // compute_dtype bf16 adds a rounded copy of the trained values for the kernels; frozen ones are
  // bf16 alone. Values are undefined until initialize() or load_parameters(); padding is zero.
  Parameters(Allocator& allocator, std::vector<ParameterSpec> specs, DType compute_dtype,
             bool with_gradients);
  Parameters(Allocator& allocator, std::vector<ParameterSpec> specs, ParameterStores stores);

  const Sharding& sharding() const { return sharding_; }
  // What of the trained elements each replica answers for, by replica: whole parameters,
  // consecutive ones, as even as that allows. Which these are depends on global sizes alone, so it
  // is the same on all tensor shards; a tied table is always replica 0's. Without sharding: all.
  const std::vector<StoreRange>& shares() const { return shares_; }
  const StoreRange& own_share() const {
    return shares_[shares_.size() == 1 ? 0 : static_cast<std::size_t>(sharding_.replica)];
  }
  int owner_of(int index) const;  // the replica; of an alias: its source's
  // Frozen elements, divided alike; used where values are shared.
  const std::vector<StoreRange>& frozen_shares() const { return frozen_shares_; }
  bool holds_value(int index) const {
    return !sharding_.shares_values() || owner_of(index) == sharding_.replica;
  }
  // Where a value that is held stands in values(), or a frozen one in computes(), in elements.
  std::int64_t value_offset(int index) const { return offset(index) - shift_of(offset(index)); }
  // What is held of the elements [begin, end) of the copies that kernels read; undefined: nothing.
  Tensor held_computes(StoreRange range) const;
  // Parameters joined to each other, which stand in a row: [first, last] and their padded range.
  struct Group {
    int first = 0, last = 0;
    StoreRange range;
  };
  Group group_of(int index) const;
  bool is_in_own_share(int index) const {
    return !sharding_.shares_state() || owner_of(index) == sharding_.replica;
  }

  const std::vector<ParameterSpec>& specs() const { return specs_; }
  int count() const { return static_cast<int>(specs_.size()); }
  int find(std::string_view name) const;  // -1 when absent
  bool is_alias(int index) const { return alias_of_[static_cast<std::size_t>(index)] >= 0; }
  // Whether an alias adds its gradient to its source's, in whose room it is made.
  bool alias_gradient_in_place() const { return takes_turns_; }
  bool is_trainable(int index) const { return specs_[static_cast<std::size_t>(index)].trainable; }
  // Elements at the begin of the flat stores that have gradients and optimizer state.
  std::int64_t trainable_elements() const { return trainable_elements_; }

  // Views of one parameter: [local_rows, local_cols], or [local_rows] for a vector.
  Tensor value(int index) const;     // f32 master; bf16 where there is none, as of what is frozen
  Tensor compute(int index) const;   // what kernels read: f32 itself or the bf16 copy
  Tensor gradient(int index) const;  // f32; where gradients are shared: of the own share alone
  // Until the next call gradient() and gradient_rows() are of the window, which must live as long;
  // null: of the store again.
  void gradients_into(ParameterWindow* window) { window_ = window; }
  // Where gradients are shared: adds the parts to the own gradient in their order, or sets it to
  // their sum the first time in a step. Runs a kernel.
  void add_to_gradient(Stream& stream, int index, std::vector<Tensor> parts);
  void begin_step() { started_.assign(specs_.size(), false); }
  // Where values are shared: until the next call compute() and compute_rows() are the window's for
  // what it holds; null: of the own share alone.
  void values_from(const ParameterWindow* window) { value_window_ = window; }
  // Values, their copies and gradients of elements [begin, end) of the flat stores; values and
  // gradients of trained elements.
  Tensor value_range(std::int64_t begin, std::int64_t end) const {
    return values_.rows(begin - shift_of(begin), end - shift_of(begin));
  }
  Tensor compute_range(std::int64_t begin, std::int64_t end) const {
    return computes_.rows(begin - shift_of(begin), end - shift_of(begin));
  }
  Tensor gradient_range(std::int64_t begin, std::int64_t end) const {
    return gradients_.rows(begin - gradients_begin_, end - gradients_begin_);
  }
  // From now on compute() and compute_rows() are views of this flat store (laid out like
  // computes()); an undefined one: of computes() again.
  void read_from(Tensor store) { read_ = store ? std::move(store) : computes_; }
  // One matrix over consecutive joined parameters (q, k, v; gate, up), or one vector.
  Tensor compute_rows(int first, int count) const;
  Tensor gradient_rows(int first, int count) const;

  // The whole flat stores, f32 (compute: bf16 or the values), padding included and zero; gradients
  // has trainable_elements() elements (where they are shared: those of own_share()), computes more
  // where something is frozen; values has as many as one of the two: where the compute type is bf16
  // and there are master weights, only what is trained. Where parameters take turns, gradients() is
  // laid out otherwise: those with room of their own, see standing_gradients(), and behind them the
  // room of the largest turn.
  Tensor& values() { return values_; }
  Tensor& gradients() { return gradients_; }
  Tensor& computes() { return computes_; }
  const Tensor& values() const { return values_; }
  // Whether gradients of parameters with ParameterSpec::turn are held in turn, and what is not.
  bool takes_turns() const { return takes_turns_; }
  bool is_in_turn(int index) const { return specs_[static_cast<std::size_t>(index)].turn >= 0; }
  Tensor standing_gradients() const { return gradients_.rows(0, standing_elements_); }
  bool has_master_weights() const { return values_.dtype() == DType::f32; }
  DType compute_dtype() const { return compute_dtype_; }
  // Offset and padded length of one parameter in the flat stores, in elements.
  std::int64_t offset(int index) const { return offsets_[static_cast<std::size_t>(index)]; }
  std::int64_t padded_count(int index) const;

  // Both run kernels: call them from work submitted to the stream. Values depend on
  // (seed, name, global index) alone, so every grid starts from the same model.
  void initialize(Stream& stream, std::uint64_t seed);
  // The same for adapters alone, beside a model that has been loaded.
  void initialize_adapters(Stream& stream, std::uint64_t seed);
  void refresh_compute(Stream& stream);  // bf16 copy from the values; nothing to do for f32

 private:
  Tensor view(const Tensor& store, std::int64_t begin, int index) const;
  Tensor joined_view(const Tensor& store, std::int64_t begin, int first, int count) const;
  std::int64_t lay_out(bool trained, std::int64_t end);
  std::int64_t lay_out_gradients();
  void divide_into_shares();
  // A parameter's begin in a flat tensor.
  struct Place {
    Tensor flat;
    std::int64_t begin = 0;
  };
  Place gradient_place(int index) const;  // of the open window, else of the store
  Place compute_place(int index) const;
  // Between a place in the flat stores and in what is held of values and their copies.
  std::int64_t shift_of(std::int64_t begin) const {
    return begin < trainable_elements_ ? values_begin_ : frozen_shift_;
  }
  template <class Visit>
  void for_each_group(const Visit& visit) const;
  void allocate_stores(Allocator& allocator, ParameterStores stores, std::int64_t elements);
  void initialize_one(Stream& stream, std::uint64_t seed, int index);

  std::vector<ParameterSpec> specs_;
  std::vector<std::int64_t> offsets_;
  std::vector<std::int64_t> ends_;              // padded
  std::vector<std::int64_t> gradient_offsets_;  // those of the values unless turns are taken
  std::vector<int> alias_of_;                   // -1: none
  std::int64_t trainable_elements_ = 0;
  std::int64_t standing_elements_ = 0;
  bool takes_turns_ = false;
  Sharding sharding_;
  std::vector<StoreRange> shares_;
  std::int64_t gradients_begin_ = 0;  // where gradients_ begin in the flat stores
  std::vector<StoreRange> frozen_shares_;
  std::int64_t values_begin_ = 0, frozen_shift_ = 0;  // see shift_of()
  ParameterWindow* window_ = nullptr;
  const ParameterWindow* value_window_ = nullptr;
  std::vector<bool> started_;  // which gradients the step has begun, where they are shared
  DType compute_dtype_;
  Tensor values_, gradients_, computes_;
  Tensor read_;            // what kernels read: computes_, or another version of it
  Tensor alias_gradient_;  // of the one alias, if there is one
};

}  // namespace collie
