#pragma once
// The runtime API that a module is built with. CUDA's and HIP's functions differ only in their prefix. For host code
// compiled by g++; kernels do not include this.

#if defined(SS_GPU_RUNTIME_CUDA)
#include <cuda_runtime_api.h>
#define SS_RUNTIME(name) cuda##name
#elif defined(SS_GPU_RUNTIME_HIP)
#include <hip/hip_runtime_api.h>
#define SS_RUNTIME(name) hip##name
#else
#error "define SS_GPU_RUNTIME_CUDA or SS_GPU_RUNTIME_HIP"
#endif

#include <string>

#include "core/result.h"

namespace secondsource::gpu::runtime {

using Status = SS_RUNTIME(Error_t);

/// Converts a status. Errors: kOutOfMemory for a failed allocation, else kDeviceLost; with the call and the runtime's text.
[[nodiscard]] inline Result<void> check(Status status, const char* call) {
  if (status == SS_RUNTIME(Success)) return {};
  // The runtime also keeps the error for the next GetLastError(), unless it is cleared.
  (void)SS_RUNTIME(GetLastError)();
  const bool is_memory = status == SS_RUNTIME(ErrorMemoryAllocation);
  return Error{is_memory ? ErrorCode::kOutOfMemory : ErrorCode::kDeviceLost,
               std::string(call) + ": " + SS_RUNTIME(GetErrorName)(status) + ": " + SS_RUNTIME(GetErrorString)(status)};
}

}  // namespace secondsource::gpu::runtime

/// SS_RUNTIME_TRY(Malloc(&memory, bytes)): calls cudaMalloc or hipMalloc and returns its error from this function.
#define SS_RUNTIME_TRY(call) SS_TRY_VOID(::secondsource::gpu::runtime::check(SS_RUNTIME(call), #call))
