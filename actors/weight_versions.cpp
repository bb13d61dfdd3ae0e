#include "actors/weight_versions.hpp"

#include "kernels/elementwise.hpp"

namespace collie {

void WeightVersions::read(const VersionUse& use, Parameters& parameters) const {
  const bool is_latest = use.version == latest_;
  COLLIE_CHECK(is_latest || kept_.contains(use.version), "version {} is gone; the latest is {}",
               use.version, latest_);
  parameters.read_from(is_latest ? Tensor() : kept_.at(use.version));
}

void WeightVersions::read_corrected(const VersionUse& use, bool is_forward, DelayPoint at,
                                    Stream& stream, Parameters& parameters) const {
  if (!use.is_predicted) {
    read(use, parameters);
    if (correction_ == nullptr || use.version != latest_) return;
  }
  at.updates_of_round = latest_;
  parameters.read_from(is_forward ? correction_->forward_weights(stream, parameters, at)
                                  : correction_->backward_weights(stream, parameters, at));
}

void WeightVersions::predict(const VersionUse& use, DelayPoint at, Stream& stream,
                             Parameters& parameters) const {
  COLLIE_CHECK(correction_ != nullptr && use.version == latest_, "predicts from version {}, not {}",
               use.version, latest_);
  at.updates_of_round = latest_;
  correction_->predict(stream, parameters, at);
}

void WeightVersions::replace_latest(const VersionUse& use, DelayPoint at, Stream& stream,
                                    Parameters& parameters) {
  COLLIE_CHECK(use.version == latest_, "replaces version {}, not {}", latest_, use.version);
  parameters.read_from(Tensor());
  if (use.keeps) {
    at.updates_of_round = latest_;
    Tensor live = parameters.computes();
    if (correction_ != nullptr) {
      if (Tensor read = correction_->forward_weights(stream, parameters, at)) live = read;
    }
    Tensor copy = stream.allocate(live.dtype(), live.shape());
    kernels::cast(stream, live, copy);
    kept_.emplace(latest_, std::move(copy));
  }
  ++latest_;
}

}  // namespace collie
