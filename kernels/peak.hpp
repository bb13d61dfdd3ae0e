// The arithmetic peak of one lane, measured: what model FLOPs utilisation is a fraction of.
#pragma once

#include "runtime/dtype.hpp"

namespace collie::kernels {

// Floating-point operations a second of fused multiply-adds on registers, the widest this processor
// has: f32 FMA, or bf16 pair products into f32 where it has them (otherwise the f32 figure). Takes
// about 20 ms and keeps the best of several tries, since the machine may be shared.
double measure_peak_flops(DType dtype);

}  // namespace collie::kernels
