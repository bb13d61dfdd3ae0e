// What shards have to do with each other's gradients, and the sums. At the end of a step: a
// bucket is what one shard contributes; parts are every shard's bucket in rank order, the own one
// included, and every sum is taken in that order. Buckets are float32 and flat.
#pragma once

#include <vector>

#include "models/parameters.hpp"
#include "models/segment.hpp"

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

// ZeRO-1: likewise, but a replica's slice is its share, and nothing is copied back.
void sum_own_share(Stream& stream, Parameters& parameters, const std::vector<Tensor>& parts);

// ZeRO-2, in each micro-batch: sums what the window holds over the tensor shards that share a
// parameter and, at the parameter's owner, over the replicas; the owner adds that to the gradient
// it keeps. Closes the window and empties it.
//
// So a step's gradient is the sum over micro-batches of sums over replicas, where without ZeRO it
// is the sum over replicas of sums over micro-batches. With one micro-batch a step these are the
// same number; with more they are the same sum in another association, which float32 rounds
// otherwise: a replica would have to keep the sums over micro-batches of all parameters to have
// them the other way. A tied embedding is the sum over replicas of the table's gradient and that of
// the head's, where without ZeRO each replica adds its two first: it too is another association.
Steps reduce_to_owners(Stream& stream, Parameters& parameters, ParameterWindow& window);

}  // namespace collie
