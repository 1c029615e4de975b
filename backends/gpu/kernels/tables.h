#pragma once
// The kernel tables, one per target. Each is defined in a module that was built with kernels for that target.

#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

namespace cuda_target {
const KernelTable& kernel_table();
}
namespace hip_target {
const KernelTable& kernel_table();
}
namespace shim_sm_80 {
const KernelTable& kernel_table();
}
namespace shim_sm_90a {
const KernelTable& kernel_table();
}
namespace shim_gfx90a {
const KernelTable& kernel_table();
}
namespace shim_gfx942 {
const KernelTable& kernel_table();
}
namespace shim_gfx1100 {
const KernelTable& kernel_table();
}

}  // namespace secondsource::gpu
