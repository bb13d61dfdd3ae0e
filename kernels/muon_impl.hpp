// The CPU side of muon.hpp. Operands are checked.
#pragma once

#include "kernels/muon.hpp"

namespace collie::kernels::cpu {

struct MuonFactors {
  float gradient, keep, take;
  bool nesterov;
};

void muon_momentum(Stream& stream, const MuonFactors& factors, const Tensor& grad, Tensor& velocity,
                   Tensor& update);
void copy_block(Stream& stream, const BlockCopy& block, const Tensor& from_rc, Tensor& to_rc);

}  // namespace collie::kernels::cpu
