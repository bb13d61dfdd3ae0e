#include "actors/step_copy.hpp"

#include "kernels/elementwise.hpp"

namespace collie {

namespace {

// All that an update writes. What is frozen stands behind what is trained and stays as it is.
std::vector<Tensor> written(Parameters& parameters, const std::vector<OptimizerState>& states) {
  const std::int64_t trained = parameters.trainable_elements();
  std::vector<Tensor> stores{parameters.values().rows(0, trained)};
  if (!parameters.computes().shares_buffer_with(parameters.values())) {
    stores.push_back(parameters.computes().rows(0, trained));
  }
  for (const OptimizerState& state : states) stores.push_back(*state.values);
  return stores;
}

}  // namespace

void StepCopy::take(Stream& stream, Parameters& parameters,
                    const std::vector<OptimizerState>& states) {
  COLLIE_CHECK(copies_.empty(), "an update is not validated yet");
  for (const Tensor& store : written(parameters, states)) {
    Tensor copy = stream.allocate(store.dtype(), store.shape());
    kernels::cast(stream, store, copy);
    copies_.push_back(std::move(copy));
  }
}

void StepCopy::restore(Stream& stream, Parameters& parameters,
                       const std::vector<OptimizerState>& states) {
  if (copies_.empty()) return;
  std::vector<Tensor> stores = written(parameters, states);
  COLLIE_CHECK(stores.size() == copies_.size(), "the optimizer's state has changed its form");
  for (std::size_t i = 0; i < stores.size(); ++i) kernels::cast(stream, copies_[i], stores[i]);
  drop();
}

}  // namespace collie
