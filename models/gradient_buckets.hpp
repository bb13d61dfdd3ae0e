// The tensors that shards sum over each other's gradients at the end of a step, and the sums. A
// bucket is what one shard contributes; parts are every shard's bucket in rank order, the own one
// included, and every sum is taken in that order. Buckets are float32 and flat.
#pragma once

#include <vector>

#include "models/parameters.hpp"

namespace collie {

// Parameters that several tensor shards hold (ParameterSpec::gradient_group_*): their gradients,
// packed one after the other. Summing writes the sum over each parameter's group.
bool has_shared_parameters(const std::vector<ParameterSpec>& specs);
Tensor pack_shared_gradients(Stream& stream, Parameters& parameters);
void sum_shared_gradients(Stream& stream, Parameters& parameters, const std::vector<Tensor>& parts);

// A tied embedding that first and last stage both hold: a copy of its gradient on this stage, of
// the table itself or of the head's copy.
Tensor copy_tied_gradient(Stream& stream, Parameters& parameters);
void sum_tied_gradients(Stream& stream, Parameters& parameters, const std::vector<Tensor>& parts);

// Replicas: the bucket is the flat gradient itself, parameters.gradients(). First each rank writes
// the sum into its own slice while the others read theirs of it, then it copies the slices that the
// others summed; so nothing is copied beforehand.
void sum_own_slice(Stream& stream, Parameters& parameters, int rank,
                   const std::vector<Tensor>& parts);
void copy_other_slices(Stream& stream, Parameters& parameters, int rank,
                       const std::vector<Tensor>& parts);

}  // namespace collie
