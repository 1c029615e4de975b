#pragma once
// The runtime that a module is built with: CUDA's and HIP's have the same functions under another prefix. Host code
// only, for g++; kernels know neither.

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

/// Success, or kDeviceLost with the call and the runtime's own words; kOutOfMemory where that is what they say.
[[nodiscard]] inline Result<void> check(Status status, const char* call) {
  if (status == SS_RUNTIME(Success)) return {};
  // The error that a call returns also stays behind for the next one to find, unless it is taken.
  (void)SS_RUNTIME(GetLastError)();
  const bool is_memory = status == SS_RUNTIME(ErrorMemoryAllocation);
  return Error{is_memory ? ErrorCode::kOutOfMemory : ErrorCode::kDeviceLost,
               std::string(call) + ": " + SS_RUNTIME(GetErrorName)(status) + ": " + SS_RUNTIME(GetErrorString)(status)};
}

}  // namespace secondsource::gpu::runtime

/// SS_RUNTIME_TRY(Malloc(&memory, bytes)): the call of the runtime at hand, its error returned from here.
#define SS_RUNTIME_TRY(call) SS_TRY_VOID(::secondsource::gpu::runtime::check(SS_RUNTIME(call), #call))
