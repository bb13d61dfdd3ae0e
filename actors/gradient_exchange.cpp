#include "actors/gradient_exchange.hpp"

#include "models/gradient_buckets.hpp"

namespace collie {

std::vector<Exchange> gradient_exchanges(const Grid& grid, const ShardId& self,
                                         const std::vector<ParameterSpec>& specs,
                                         bool tied_embeddings) {
  std::vector<Exchange> exchanges;
  if (has_shared_parameters(specs)) {
    exchanges.push_back({Purpose::shard_gradients, tensor_group(grid, self), self.tensor});
  }
  const bool ends_pipeline = self.stage == 0 || self.stage == grid.pp - 1;
  if (tied_embeddings && ends_pipeline && grid.pp > 1) {
    exchanges.push_back({Purpose::tied_gradients, tied_group(grid, self), self.stage == 0 ? 0 : 1});
  }
  if (grid.dp > 1) {
    const std::vector<ShardId> group = replica_group(grid, self);
    exchanges.push_back({Purpose::replica_sum, group, self.replica});
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
      return parameters.gradients();
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
      sum_own_slice(stream, parameters, self.replica, parts);
      break;
    case Purpose::replica_gather:
      copy_other_slices(stream, parameters, self.replica, parts);
      break;
    default:
      COLLIE_CHECK(false, "not an exchange of gradients");
  }
}

}  // namespace collie
