// Compares the numbers, structs and prototypes of hip/hipblaslt.h with AMD's own hipblaslt.h. Compiled only where that header is
// found.

#include <hipblaslt/hipblaslt.h>

#include <type_traits>

#include "hip/hipblaslt.h"
#include "support/c_prototype.h"
#include "support/catch.h"

using namespace secondsource;
using secondsource::hip::HipblasLt;
using secondsource::test::matches;

namespace {

static_assert(matches(HipblasLt::kCreate, hipblasLtCreate));
static_assert(matches(HipblasLt::kDestroy, hipblasLtDestroy));
static_assert(matches(HipblasLt::kVersion, hipblasLtGetVersion));
static_assert(matches(HipblasLt::kMultiplyCreate, hipblasLtMatmulDescCreate));
static_assert(matches(HipblasLt::kMultiplyDestroy, hipblasLtMatmulDescDestroy));
static_assert(matches(HipblasLt::kMultiplySet, hipblasLtMatmulDescSetAttribute));
static_assert(matches(HipblasLt::kLayoutCreate, hipblasLtMatrixLayoutCreate));
static_assert(matches(HipblasLt::kLayoutDestroy, hipblasLtMatrixLayoutDestroy));
static_assert(matches(HipblasLt::kPreferenceCreate, hipblasLtMatmulPreferenceCreate));
static_assert(matches(HipblasLt::kPreferenceDestroy, hipblasLtMatmulPreferenceDestroy));
static_assert(matches(HipblasLt::kPreferenceSet, hipblasLtMatmulPreferenceSetAttribute));
static_assert(matches(HipblasLt::kHeuristic, hipblasLtMatmulAlgoGetHeuristic));
static_assert(matches(HipblasLt::kMatmul, hipblasLtMatmul));

static_assert(sizeof(HipblasLt::Algorithm) == sizeof(hipblasLtMatmulAlgo_t));
static_assert(sizeof(HipblasLt::Choice) == sizeof(hipblasLtMatmulHeuristicResult_t));
static_assert(offsetof(HipblasLt::Choice, algorithm) == offsetof(hipblasLtMatmulHeuristicResult_t, algo));
static_assert(offsetof(HipblasLt::Choice, workspace_bytes) ==
              offsetof(hipblasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(HipblasLt::Choice, status) == offsetof(hipblasLtMatmulHeuristicResult_t, state));

static_assert(HipblasLt::kComputeF32 == HIPBLAS_COMPUTE_32F && HipblasLt::kComputeInt32 == HIPBLAS_COMPUTE_32I);
static_assert(HipblasLt::kAsItIs == HIPBLAS_OP_N && HipblasLt::kTransposed == HIPBLAS_OP_T);
static_assert(HipblasLt::kTransposeA == HIPBLASLT_MATMUL_DESC_TRANSA);
static_assert(HipblasLt::kTransposeB == HIPBLASLT_MATMUL_DESC_TRANSB);
static_assert(HipblasLt::kPreferWorkspace == HIPBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
static_assert(static_cast<int>(gpu::LtType::kF32) == HIP_R_32F && static_cast<int>(gpu::LtType::kF16) == HIP_R_16F);
static_assert(static_cast<int>(gpu::LtType::kBf16) == HIP_R_16BF && static_cast<int>(gpu::LtType::kInt8) == HIP_R_8I);
static_assert(static_cast<int>(gpu::LtType::kInt32) == HIP_R_32I);

}  // namespace

TEST_CASE("a refusal has the words of hipBLAS's status") {
  // All other comparisons are made at compile time.
  const auto library = SharedLibrary::open({"libc.so.6"});
  REQUIRE(library);
  CHECK(HipblasLt::describe_status(*library, HIPBLAS_STATUS_NOT_INITIALIZED) == "not initialized");
  CHECK(HipblasLt::describe_status(*library, HIPBLAS_STATUS_INVALID_VALUE) == "invalid value");
  CHECK(HipblasLt::describe_status(*library, HIPBLAS_STATUS_NOT_SUPPORTED) == "not supported");
  CHECK(HipblasLt::describe_status(*library, HIPBLAS_STATUS_ARCH_MISMATCH) == "another architecture");
}
