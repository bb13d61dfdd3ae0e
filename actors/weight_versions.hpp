// The versions of one stage's weights that an asynchronous schedule reads: the latest, which the
// optimizer writes in place, and copies of older ones for as long as they have readers.
#pragma once

#include <map>

#include "actors/protocol/version_uses.hpp"
#include "models/delay_correction.hpp"
#include "models/parameters.hpp"

namespace collie {

class WeightVersions {
 public:
  // Versions count from 0 again; the latest is the one there is.
  void begin_round() {
    latest_ = 0;
    kept_.clear();
    if (correction_ != nullptr) correction_->begin_round();
  }
  // Which must outlive this; null: none.
  void correct_with(DelayCorrection* correction) { correction_ = correction; }
  // What the kernels read from now on.
  void read(const VersionUse& use, Parameters& parameters) const;
  // ... for training, where the correction takes the place of the latest version. Of `at` the count
  // of the round is filled in.
  void read_corrected(const VersionUse& use, bool is_forward, DelayPoint at, Stream& stream,
                      Parameters& parameters) const;
  // A PREDICT: the correction, of which there is one, makes what predicted uses read from now on.
  void predict(const VersionUse& use, DelayPoint at, Stream& stream, Parameters& parameters) const;
  // An action has read its version.
  void finished(const VersionUse& use) {
    if (use.is_last) kept_.erase(use.version);
  }
  // Before the optimizer writes: keeps a copy of the latest if it has readers left.
  // of it as it was read.
  void replace_latest(const VersionUse& use, DelayPoint at, Stream& stream, Parameters& parameters);
  int latest() const { return latest_; }

 private:
  int latest_ = 0;
  DelayCorrection* correction_ = nullptr;
  std::map<int, Tensor> kept_;  // flat, laid out like Parameters::computes()
};

}  // namespace collie
