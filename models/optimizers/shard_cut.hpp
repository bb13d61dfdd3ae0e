// How a parameter is cut over the tensor shards of its stage, as an update of the whole sees it.
#pragma once

#include "models/parameters.hpp"

namespace collie {

inline bool is_cut_by_rows(const ParameterSpec& spec) {
  return spec.local_rows() != spec.rows;
}
inline bool is_cut_by_columns(const ParameterSpec& spec) {
  return spec.local_cols() != spec.cols;
}
// All shards of the stage answer alike, so they pause alike.
inline bool is_cut(const ParameterSpec& spec) {
  return is_cut_by_rows(spec) || is_cut_by_columns(spec);
}
// Consecutive shards that hold the same part (key and value heads fewer than shards).
inline std::size_t holders_of_a_part(const ParameterSpec& spec) {
  const int holders = spec.gradient_group_end - spec.gradient_group_begin;
  return static_cast<std::size_t>(holders > 0 ? holders : 1);
}

}  // namespace collie
