#include "actors/gradient_exchange.hpp"

#include <algorithm>

#include "models/gradient_buckets.hpp"

namespace collie {

std::vector<Exchange> gradient_exchanges(const Grid& grid, const ShardId& self,
                                         const Parameters& parameters, bool tied_embeddings) {
  const std::vector<ParameterSpec>& specs = parameters.specs();
  const bool in_backward = parameters.sharding().shares_gradients();
  std::vector<Exchange> exchanges;
  if (has_shared_parameters(specs) && !in_backward) {
    exchanges.push_back({Purpose::shard_gradients, tensor_group(grid, self), self.tensor});
  }
  const bool ends_pipeline = self.stage == 0 || self.stage == grid.pp - 1;
  const bool trains_embedding = std::ranges::any_of(specs, [](const ParameterSpec& spec) {
    return spec.trainable && (spec.name == "embedding" || !spec.tied_to.empty());
  });
  const bool has_table = !in_backward || self.replica == 0;
  if (tied_embeddings && trains_embedding && ends_pipeline && grid.pp > 1 && has_table) {
    exchanges.push_back({Purpose::tied_gradients, tied_group(grid, self), self.stage == 0 ? 0 : 1});
  }
  if (grid.dp > 1 && !in_backward) {
    const std::vector<ShardId> group = replica_group(grid, self);
    exchanges.push_back({Purpose::replica_sum, group, self.replica});
    if (parameters.sharding().shares_state()) return exchanges;
    exchanges.push_back({Purpose::replica_gather, group, self.replica});
  }
  return exchanges;
}

Tensor prepare_exchange(Stream& stream, StageModel& model, Purpose purpose) {
  Parameters& parameters = model.parameters();
  switch (purpose) {
    case Purpose::shard_gradients:
      return pack_shared_gradients(stream, parameters);
    case Purpose::tied_gradients:
      return copy_tied_gradient(stream, parameters);
    default:
      return parameters.standing_gradients();
  }
}

void combine_exchange(Stream& stream, StageModel& model, const ShardId& self, Purpose purpose,
                      const std::vector<Tensor>& parts) {
  Parameters& parameters = model.parameters();
  switch (purpose) {
    case Purpose::shard_gradients:
      sum_shared_gradients(stream, parameters, parts);
      break;
    case Purpose::tied_gradients:
      sum_tied_gradients(stream, parameters, parts);
      break;
    case Purpose::replica_sum:
      if (parameters.sharding().shares_state()) {
        sum_own_share(stream, parameters, parts);
      } else {
        sum_own_slice(stream, parameters, self.replica, parts);
      }
      break;
    case Purpose::replica_gather:
      copy_other_slices(stream, parameters, self.replica, parts);
      break;
    default:
      COLLIE_CHECK(false, "not an exchange of gradients");
  }
}

}  // namespace collie
