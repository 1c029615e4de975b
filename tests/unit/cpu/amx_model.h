#pragma once
// The AMX kernels over a model of the tile instructions in software: the same source as
// backends/cpu/kernels/isa_amx.cpp, on a CPU without AMX.

#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

/// Products kBf16 and kInt8Quantized and what packs for them; the rest is empty.
const KernelTable& kernels_amx_model();

}  // namespace secondsource::cpu
