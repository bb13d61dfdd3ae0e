// Which parameters a slice of the decoder has, and how tensor shards cut them.
#include <algorithm>
#include <cmath>
#include <utility>

#include "models/registry.hpp"
#include "models/stage.hpp"

namespace collie {

namespace {

struct Range {
  std::int64_t begin = 0, end = 0;
};

class Declarer {
 public:
  Declarer(const ModelTraits& traits, const StageSlice& slice)
      : traits_(traits), slice_(slice), family_(family_of(traits)) {}

  std::vector<ParameterSpec> declare() {
    if (slice_.has_embedding) declare_embedding();
    for (std::int64_t layer = slice_.layer_begin; layer < slice_.layer_end; ++layer) {
      prefix_ = fmt::format("layers.{}.", layer);
      declare_attention();
      declare_mlp();
    }
    prefix_.clear();
    if (slice_.has_head) declare_head();
    for (ParameterSpec& spec : specs_) {
      COLLIE_CHECK(bind_to_file(family_, spec), "{} has no {}", traits_.family, spec.name);
    }
    return std::move(specs_);
  }

 private:
  // The rank's share of `count` things, as even as they go.
  Range share(std::int64_t count) const {
    return {count * slice_.tp_rank / slice_.tp_size, count * (slice_.tp_rank + 1) / slice_.tp_size};
  }
  Range vocabulary() const {
    const std::int64_t most = (traits_.vocabulary_size + slice_.tp_size - 1) / slice_.tp_size;
    return {std::min(most * slice_.tp_rank, traits_.vocabulary_size),
            std::min(most * (slice_.tp_rank + 1), traits_.vocabulary_size)};
  }
  Range query_rows() const {
    const Range heads = share(traits_.head_count);
    return {heads.begin * traits_.head_dim, heads.end * traits_.head_dim};
  }
  // With fewer key/value heads than shards, neighbours hold the same head.
  Range kv_rows() const {
    Range heads = share(traits_.kv_head_count);
    if (heads.begin == heads.end) ++heads.end;
    return {heads.begin * traits_.head_dim, heads.end * traits_.head_dim};
  }

  ParameterSpec& add(std::string_view part, std::int64_t rows, std::int64_t cols) {
    ParameterSpec& spec = specs_.emplace_back();
    spec.name = prefix_ + std::string(part);
    spec.rows = spec.row_end = rows;
    spec.cols = spec.col_end = cols;
    spec.stddev = traits_.initializer_stddev;
    return spec;
  }
  // All shards hold the whole; the first one answers for it.
  ParameterSpec& replicated(ParameterSpec& spec) const {
    spec.owned = slice_.tp_rank == 0;
    return spec;
  }
  static ParameterSpec& cut_rows(ParameterSpec& spec, Range range) {
    spec.row_begin = range.begin;
    spec.row_end = range.end;
    return spec;
  }
  static ParameterSpec& cut_cols(ParameterSpec& spec, Range range) {
    spec.col_begin = range.begin;
    spec.col_end = range.end;
    return spec;
  }
  ParameterSpec& vector(std::string_view part, std::int64_t rows, Initial initial) {
    ParameterSpec& spec = add(part, rows, 1);
    spec.is_vector = true;
    spec.decay = false;
    spec.initial = initial;
    return spec;
  }

  void declare_norm(const std::string& part) {
    replicated(vector(part, traits_.hidden_size, Initial::ones));
    if (traits_.norm == NormKind::layer) {
      replicated(vector(part + "_bias", traits_.hidden_size, Initial::zeros));
    }
  }

  void declare_embedding() {
    cut_rows(add("embedding", traits_.vocabulary_size, traits_.hidden_size), vocabulary());
    if (traits_.positions == PositionKind::learned) {
      replicated(add("positions", traits_.context_length, traits_.hidden_size));
    }
  }

  // Key and value rows; shared heads are owned by the first shard of their group.
  void share_kv(ParameterSpec& spec) const {
    cut_rows(spec, kv_rows()).joined = true;
    if (traits_.kv_head_count >= slice_.tp_size) return;
    const int group = slice_.tp_size / static_cast<int>(traits_.kv_head_count);
    spec.gradient_group_begin = slice_.tp_rank / group * group;
    spec.gradient_group_end = spec.gradient_group_begin + group;
    spec.owned = slice_.tp_rank == spec.gradient_group_begin;
  }

  void declare_attention() {
    const std::int64_t hidden = traits_.hidden_size;
    const std::int64_t query_width = traits_.head_count * traits_.head_dim;
    const std::int64_t kv_width = traits_.kv_head_count * traits_.head_dim;
    declare_norm("attention.norm");
    cut_rows(add("attention.q", query_width, hidden), query_rows());
    share_kv(add("attention.k", kv_width, hidden));
    share_kv(add("attention.v", kv_width, hidden));
    if (traits_.qkv_bias) {
      cut_rows(vector("attention.q_bias", query_width, Initial::zeros), query_rows());
      share_kv(vector("attention.k_bias", kv_width, Initial::zeros));
      share_kv(vector("attention.v_bias", kv_width, Initial::zeros));
    }
    if (traits_.qk_norm) declare_qk_norms();
    residual(cut_cols(add("attention.o", hidden, query_width), query_rows()));
    if (traits_.attention_output_bias) {
      replicated(vector("attention.o_bias", hidden, Initial::zeros));
    }
  }

  void declare_qk_norms() {
    for (const std::string_view part : {"attention.q_norm", "attention.k_norm"}) {
      ParameterSpec& spec = replicated(vector(part, traits_.head_dim, Initial::ones));
      if (slice_.tp_size > 1) spec.gradient_group_end = slice_.tp_size;
    }
  }

  void declare_mlp() {
    const Range width = share(traits_.mlp_size);
    const bool is_gated = traits_.mlp == MlpKind::swiglu;
    declare_norm("mlp.norm");
    if (is_gated) cut_rows(add("mlp.gate", traits_.mlp_size, traits_.hidden_size), width);
    cut_rows(add("mlp.up", traits_.mlp_size, traits_.hidden_size), width).joined = is_gated;
    if (traits_.mlp_bias) {
      if (is_gated) cut_rows(vector("mlp.gate_bias", traits_.mlp_size, Initial::zeros), width);
      cut_rows(vector("mlp.up_bias", traits_.mlp_size, Initial::zeros), width).joined = is_gated;
    }
    residual(cut_cols(add("mlp.down", traits_.hidden_size, traits_.mlp_size), width));
    if (traits_.mlp_bias) {
      replicated(vector("mlp.down_bias", traits_.hidden_size, Initial::zeros));
    }
  }

  // GPT-2 starts what it adds to the residual stream smaller, by the number of additions.
  void residual(ParameterSpec& spec) const {
    if (traits_.family != "gpt2") return;
    spec.stddev /= std::sqrt(2.0 * static_cast<double>(traits_.layer_count));
  }

  void declare_head() {
    declare_norm("final_norm");
    ParameterSpec& spec = add("head", traits_.vocabulary_size, traits_.hidden_size);
    cut_rows(spec, vocabulary());
    if (!traits_.tied_embeddings) return;
    spec.tied_to = "embedding";
    spec.owned = false;
  }

  const ModelTraits& traits_;
  const StageSlice& slice_;
  const Family& family_;
  std::string prefix_;
  std::vector<ParameterSpec> specs_;
};

std::string_view heads_key(const ModelTraits& traits) {
  return traits.family == "gpt2" ? "n_head" : "num_attention_heads";
}

Status check_cut(const ModelTraits& traits, const StageSlice& slice) {
  const std::int64_t tp = slice.tp_size;
  COLLIE_CHECK(tp >= 1 && slice.tp_rank >= 0 && slice.tp_rank < tp);
  COLLIE_CHECK(0 <= slice.layer_begin && slice.layer_begin <= slice.layer_end &&
               slice.layer_end <= traits.layer_count);
  if (traits.head_count % tp != 0) {
    return make_error(ErrorCode::invalid_config,
                      "{} {} is not divisible by tensor size {}: choose a grid.tp that divides it",
                      heads_key(traits), traits.head_count, tp);
  }
  if (traits.kv_head_count % tp != 0 && tp % traits.kv_head_count != 0) {
    return make_error(ErrorCode::invalid_config,
                      "num_key_value_heads {} neither divides tensor size {} nor is divided by it: "
                      "choose another grid.tp",
                      traits.kv_head_count, tp);
  }
  const std::int64_t rows = (traits.vocabulary_size + tp - 1) / tp;
  if (rows * (tp - 1) >= traits.vocabulary_size || traits.mlp_size < tp) {
    return make_error(ErrorCode::invalid_config,
                      "vocab_size {} or MLP width {} is too small for tensor size {}: choose a "
                      "smaller grid.tp",
                      traits.vocabulary_size, traits.mlp_size, tp);
  }
  return ok_status();
}

}  // namespace

Result<std::vector<ParameterSpec>> declare_parameters(const ModelTraits& traits,
                                                      const StageSlice& slice) {
  COLLIE_TRY_VOID(check_cut(traits, slice));
  std::vector<ParameterSpec> specs = Declarer(traits, slice).declare();
  std::int64_t elements = 0;
  for (const ParameterSpec& spec : specs) {
    const bool overflow = __builtin_add_overflow(elements, spec.local_count(), &elements);
    if (overflow || elements > limits::tensor_bytes_max / 4) {
      return make_error(ErrorCode::out_of_memory,
                        "the parameters of one shard are over {} bytes: use more shards or stages",
                        limits::tensor_bytes_max);
    }
  }
  return specs;
}

}  // namespace collie
