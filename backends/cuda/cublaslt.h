#pragma once
// cuBLASLt, opened at run time, with prototypes of the few functions used: neither building nor starting the program may
// need a library of 500 MB. Source: cublasLt.h and cublas_api.h of CUDA 12.0 to 13, which agree in all of this;
// tests/unit/cuda compares with the real header where there is one.

#include <memory>
#include <string>
#include <vector>

#include "gpu/host/blas_lt.h"

namespace secondsource::cuda {

struct CublasLt {
  struct Algorithm {  // cublasLtMatmulAlgo_t
    std::uint64_t data[8];
  };
  struct Choice {  // cublasLtMatmulHeuristicResult_t
    Algorithm algorithm;
    std::size_t workspace_bytes;
    int status;
    float waves;
    int reserved[4];
  };
  using Object = gpu::LtObject;

  static constexpr const char* kName = "cublaslt";
  static constexpr CFunction<Object*> kCreate{"cublasLtCreate"};
  static constexpr CFunction<Object> kDestroy{"cublasLtDestroy"};
  static constexpr CFunction<Object*, int, int> kMultiplyCreate{"cublasLtMatmulDescCreate"};
  static constexpr CFunction<Object> kMultiplyDestroy{"cublasLtMatmulDescDestroy"};
  static constexpr CFunction<Object, int, const void*, std::size_t> kMultiplySet{"cublasLtMatmulDescSetAttribute"};
  static constexpr CFunction<Object*, int, std::uint64_t, std::uint64_t, std::int64_t> kLayoutCreate{
      "cublasLtMatrixLayoutCreate"};
  static constexpr CFunction<Object> kLayoutDestroy{"cublasLtMatrixLayoutDestroy"};
  static constexpr CFunction<Object*> kPreferenceCreate{"cublasLtMatmulPreferenceCreate"};
  static constexpr CFunction<Object> kPreferenceDestroy{"cublasLtMatmulPreferenceDestroy"};
  static constexpr CFunction<Object, int, const void*, std::size_t> kPreferenceSet{
      "cublasLtMatmulPreferenceSetAttribute"};
  static constexpr CFunction<Object, Object, Object, Object, Object, Object, Object, int, Choice*, int*> kHeuristic{
      "cublasLtMatmulAlgoGetHeuristic"};
  static constexpr CFunction<Object, Object, const void*, const void*, Object, const void*, Object, const void*,
                             const void*, Object, void*, Object, const Algorithm*, void*, std::size_t, void*>
      kMatmul{"cublasLtMatmul"};
  static constexpr CFunction<const Algorithm*, int, void*, std::size_t, std::size_t*> kAlgorithmGet{
      "cublasLtMatmulAlgoConfigGetAttribute"};

  static constexpr int kComputeF32 = 68, kComputeInt32 = 72;                   // cublasComputeType_t
  static constexpr int kAsItIs = 0, kTransposed = 1;                           // cublasOperation_t
  static constexpr int kTransposeA = 3, kTransposeB = 4;                       // cublasLtMatmulDescAttributes_t
  static constexpr int kPreferWorkspace = 1;                                   // cublasLtMatmulPreferenceAttributes_t
  static constexpr int kAlgorithmId = 0, kTile = 1, kSplitK = 2, kStages = 6;  // cublasLtMatmulAlgoConfigAttributes_t

  static std::string describe_status(const SharedLibrary& library, int status);
  static Result<std::string> version(const SharedLibrary& library, Object handle);
  static std::string describe(const SharedLibrary& library, const Choice& choice);
};

/// The file name for the CUDA major version that the module is built with, whose runtime is in the same process.
[[nodiscard]] std::vector<std::string> cublaslt_names(int cuda_major);

/// Opens cuBLASLt for the current device. Errors: kUnavailable if it is absent or finds no device.
[[nodiscard]] Result<std::shared_ptr<gpu::LibraryMatmul>> open_cublaslt(const std::vector<std::string>& names);

}  // namespace secondsource::cuda
