#include "models/segment.hpp"

namespace collie {

void run_alone(Steps& steps) {
  while (steps.advance()) {
    const Reduction& reduction = steps.reduction();
    if (reduction.op == ReduceOp::gather) reduction.parts->assign(1, *reduction.tensor);
  }
}

}  // namespace collie
