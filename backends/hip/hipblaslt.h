#pragma once
// hipBLASLt, opened at run time, with prototypes of the few functions used: neither building nor starting the program may
// need a library of gigabytes. Source: hipblaslt.h of 0.6 (ROCm 6.0) to 1.1, and the enumerations of hipBLAS and HIP
// that it takes; before 0.6 types had other numbers, and it is refused.

#include <memory>
#include <string>
#include <vector>

#include "gpu/host/blas_lt.h"

namespace secondsource::hip {

struct HipblasLt {
  struct Algorithm {  // hipblasLtMatmulAlgo_t
    std::uint8_t data[16];
    std::size_t most_workspace_bytes;
  };
  struct Choice {  // hipblasLtMatmulHeuristicResult_t
    Algorithm algorithm;
    std::size_t workspace_bytes;
    int status;
    float waves;
    int reserved[4];
  };
  using Object = gpu::LtObject;

  static constexpr const char* kName = "hipblaslt";
  static constexpr CFunction<Object*> kCreate{"hipblasLtCreate"};
  static constexpr CFunction<Object> kDestroy{"hipblasLtDestroy"};
  static constexpr CFunction<Object, int*> kVersion{"hipblasLtGetVersion"};
  static constexpr CFunction<Object*, int, int> kMultiplyCreate{"hipblasLtMatmulDescCreate"};
  static constexpr CFunction<Object> kMultiplyDestroy{"hipblasLtMatmulDescDestroy"};
  static constexpr CFunction<Object, int, const void*, std::size_t> kMultiplySet{"hipblasLtMatmulDescSetAttribute"};
  static constexpr CFunction<Object*, int, std::uint64_t, std::uint64_t, std::int64_t> kLayoutCreate{
      "hipblasLtMatrixLayoutCreate"};
  static constexpr CFunction<Object> kLayoutDestroy{"hipblasLtMatrixLayoutDestroy"};
  static constexpr CFunction<Object*> kPreferenceCreate{"hipblasLtMatmulPreferenceCreate"};
  static constexpr CFunction<Object> kPreferenceDestroy{"hipblasLtMatmulPreferenceDestroy"};
  static constexpr CFunction<Object, int, const void*, std::size_t> kPreferenceSet{
      "hipblasLtMatmulPreferenceSetAttribute"};
  static constexpr CFunction<Object, Object, Object, Object, Object, Object, Object, int, Choice*, int*> kHeuristic{
      "hipblasLtMatmulAlgoGetHeuristic"};
  static constexpr CFunction<Object, Object, const void*, const void*, Object, const void*, Object, const void*,
                             const void*, Object, void*, Object, const Algorithm*, void*, std::size_t, void*>
      kMatmul{"hipblasLtMatmul"};

  static constexpr int kComputeF32 = 2, kComputeInt32 = 9;  // hipblasComputeType_t
  static constexpr int kAsItIs = 111, kTransposed = 112;    // hipblasOperation_t
  static constexpr int kTransposeA = 0, kTransposeB = 1;    // hipblasLtMatmulDescAttributes_t
  static constexpr int kPreferWorkspace = 1;                // hipblasLtMatmulPreferenceAttributes_t

  static std::string describe_status(const SharedLibrary& library, int status);
  static Result<std::string> version(const SharedLibrary& library, Object handle);
  static std::string describe(const SharedLibrary& library, const Choice& choice);
};

/// File names of ROCm 7 and 6.
[[nodiscard]] std::vector<std::string> hipblaslt_names();

/// Opens hipBLASLt for the current device. Errors: kUnavailable if it is absent, older than 0.6, or finds no device.
[[nodiscard]] Result<std::shared_ptr<gpu::LibraryMatmul>> open_hipblaslt(
    const std::vector<std::string>& names = hipblaslt_names());

}  // namespace secondsource::hip
