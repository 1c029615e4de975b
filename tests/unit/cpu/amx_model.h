#pragma once
// The AMX kernels over a software model of the tile instructions: the source that isa_amx.cpp compiles, on any CPU.

#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

/// A table with the products of BF16, int8, int8-g32, int4, mxfp4 and weights in two pieces, attention of many rows over caches in BF16 and
/// int8, and pack(). Its other entries are empty.
const KernelTable& kernels_amx_model();

}  // namespace secondsource::cpu
