#include "models/gradient_turns.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "kernels/elementwise.hpp"
#include "kernels/embedding.hpp"
#include "models/host_copy.hpp"

namespace collie {

namespace {

// Made in backward_input, where the other gradients of a segment are not.
bool is_norm(std::string_view name) {
  const std::array<std::string_view, 5> endings = {".norm", ".norm_bias", "final_norm",
                                                   "final_norm_bias", "_norm"};
  return std::ranges::any_of(endings,
                             [name](std::string_view ending) { return name.ends_with(ending); });
}

// "layers.3.mlp.up" is of the second segment of its layer; the embedding goes before all layers.
int segment_of(const StageSlice& slice, const std::string& name) {
  const int first = slice.has_embedding ? 1 : 0;
  constexpr std::string_view prefix = "layers.";
  if (!name.starts_with(prefix)) return 0;
  const std::int64_t layer = std::stoll(name.substr(prefix.size()));
  const bool is_mlp = name.find(".mlp.") != std::string::npos;
  return first + static_cast<int>(2 * (layer - slice.layer_begin)) + (is_mlp ? 1 : 0);
}

// Rows of a table that ids name, and for each id the number of its row among them; -1 where another
// shard holds the row. As many rows as there can be, -1 for those that are not used.
struct RowsUsed {
  Tensor rows_u;
  std::vector<Tensor> numbers_t;
};

RowsUsed number_rows(Stream& stream, const std::vector<Tensor>& ids, StoreRange held) {
  RowsUsed used;
  std::int64_t tokens = 0;
  for (const Tensor& ids_t : ids) tokens += ids_t.element_count();
  used.rows_u = stream.allocate(DType::i32, {std::min(tokens, held.end - held.begin)});
  std::vector<std::int32_t> rows;
  std::vector<std::int32_t> number_of(static_cast<std::size_t>(held.end - held.begin), -1);
  for (const Tensor& ids_t : ids) {
    used.numbers_t.push_back(stream.allocate(DType::i32, ids_t.shape()));
    if (!stream.allocator().backed()) continue;
    std::vector<std::int32_t> numbers(static_cast<std::size_t>(ids_t.element_count()));
    copy_to_host(stream, ids_t, numbers.data());
    for (std::int32_t& id : numbers) {
      const std::int32_t row = std::exchange(id, -1);
      if (row < held.begin || row >= held.end) continue;
      std::int32_t& number = number_of[static_cast<std::size_t>(row - held.begin)];
      if (number < 0) {
        number = static_cast<std::int32_t>(rows.size());
        rows.push_back(row);
      }
      id = number;
    }
    copy_from_host(stream, numbers.data(), used.numbers_t.back());
  }
  rows.resize(static_cast<std::size_t>(used.rows_u.element_count()), -1);
  if (stream.allocator().backed()) copy_from_host(stream, rows.data(), used.rows_u);
  return used;
}

}  // namespace

void take_turns(const ModelTraits& traits, const StageSlice& slice,
                std::vector<ParameterSpec>& specs) {
  const auto layers = static_cast<int>(slice.layer_end - slice.layer_begin);
  const int head_segment = (slice.has_embedding ? 1 : 0) + 2 * layers;
  const bool is_tied = traits.tied_embeddings;
  for (ParameterSpec& spec : specs) {
    COLLIE_CHECK(spec.trainable && !spec.adapter, "{}: a tuned model takes no turns", spec.name);
    if (is_norm(spec.name)) continue;
    const bool is_looked_up = spec.name == "embedding" || spec.name == "positions";
    if (is_tied && (is_looked_up || spec.name == "head")) continue;
    spec.turn = spec.name == "head" ? head_segment : segment_of(slice, spec.name);
  }
}

bool has_turn(const Parameters& parameters, int turn) {
  return std::ranges::any_of(parameters.specs(),
                             [turn](const ParameterSpec& spec) { return spec.turn == turn; });
}

void add_tied_gradient(Stream& stream, Parameters& parameters) {
  const int head = parameters.find("head");
  if (head < 0 || !parameters.is_alias(head) || !parameters.is_trainable(head)) return;
  if (parameters.alias_gradient_in_place()) return;
  Tensor embedding = parameters.gradient(parameters.find("embedding"));
  kernels::add(stream, embedding, parameters.gradient(head), embedding);
}

void add_looked_up(Stream& stream, Parameters& parameters,
                   const std::vector<MicroBatchState*>& micro_batches) {
  const int embedding = parameters.find("embedding");
  Tensor table_rd = parameters.gradient(embedding);
  const std::int64_t first = parameters.specs()[static_cast<std::size_t>(embedding)].row_begin;
  std::vector<Tensor> ids;
  for (const MicroBatchState* state : micro_batches) ids.push_back(state->batch.ids_t);
  const RowsUsed used = number_rows(stream, ids, {first, first + table_rd.dim(0)});
  Tensor sums_ud = stream.allocate(DType::f32, {used.rows_u.element_count(), table_rd.dim(1)});
  kernels::fill_zero(stream, sums_ud);
  for (std::size_t i = 0; i < micro_batches.size(); ++i) {
    const Tensor& dout_td = micro_batches[i]->saved.front().slots.front();
    kernels::embedding_backward(stream, used.numbers_t[i], dout_td, 0, sums_ud);
  }
  kernels::embedding_backward(stream, used.rows_u, sums_ud, first, table_rd);
}

Steps step_standing(Stream& stream, OptimizerStep step, Optimizer& optimizer,
                    Parameters& parameters) {
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.is_in_turn(index) || parameters.is_alias(index)) continue;
    Steps update = optimizer.step_one(stream, step, parameters, index);
    while (update.advance()) co_yield update.reduction();
  }
}

}  // namespace collie
