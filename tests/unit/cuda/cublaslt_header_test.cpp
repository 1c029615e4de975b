// Compares the numbers, structs and prototypes of cuda/cublaslt.h with NVIDIA's own cublasLt.h. Compiled only where that header
// is found.

#include <cublasLt.h>

#include <type_traits>

#include "cuda/cublaslt.h"
#include "support/c_prototype.h"
#include "support/catch.h"

using namespace secondsource;
using cuda::CublasLt;
using secondsource::test::matches;

namespace {

static_assert(matches(CublasLt::kCreate, cublasLtCreate));
static_assert(matches(CublasLt::kDestroy, cublasLtDestroy));
static_assert(matches(CublasLt::kMultiplyCreate, cublasLtMatmulDescCreate));
static_assert(matches(CublasLt::kMultiplyDestroy, cublasLtMatmulDescDestroy));
static_assert(matches(CublasLt::kMultiplySet, cublasLtMatmulDescSetAttribute));
static_assert(matches(CublasLt::kLayoutCreate, cublasLtMatrixLayoutCreate));
static_assert(matches(CublasLt::kLayoutDestroy, cublasLtMatrixLayoutDestroy));
static_assert(matches(CublasLt::kPreferenceCreate, cublasLtMatmulPreferenceCreate));
static_assert(matches(CublasLt::kPreferenceDestroy, cublasLtMatmulPreferenceDestroy));
static_assert(matches(CublasLt::kPreferenceSet, cublasLtMatmulPreferenceSetAttribute));
static_assert(matches(CublasLt::kHeuristic, cublasLtMatmulAlgoGetHeuristic));
static_assert(matches(CublasLt::kMatmul, cublasLtMatmul));
static_assert(matches(CublasLt::kAlgorithmGet, cublasLtMatmulAlgoConfigGetAttribute));
static_assert(std::is_same_v<decltype(&cublasLtGetVersion), std::size_t (*)()>);

static_assert(sizeof(CublasLt::Algorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(CublasLt::Choice) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(CublasLt::Choice, algorithm) == offsetof(cublasLtMatmulHeuristicResult_t, algo));
static_assert(offsetof(CublasLt::Choice, workspace_bytes) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(CublasLt::Choice, status) == offsetof(cublasLtMatmulHeuristicResult_t, state));

static_assert(CublasLt::kComputeF32 == CUBLAS_COMPUTE_32F && CublasLt::kComputeInt32 == CUBLAS_COMPUTE_32I);
static_assert(CublasLt::kAsItIs == CUBLAS_OP_N && CublasLt::kTransposed == CUBLAS_OP_T);
static_assert(CublasLt::kTransposeA == CUBLASLT_MATMUL_DESC_TRANSA);
static_assert(CublasLt::kTransposeB == CUBLASLT_MATMUL_DESC_TRANSB);
static_assert(CublasLt::kPreferWorkspace == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
static_assert(CublasLt::kAlgorithmId == CUBLASLT_ALGO_CONFIG_ID && CublasLt::kTile == CUBLASLT_ALGO_CONFIG_TILE_ID);
static_assert(CublasLt::kSplitK == CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
static_assert(CublasLt::kStages == CUBLASLT_ALGO_CONFIG_STAGES_ID);
static_assert(static_cast<int>(gpu::LtType::kF32) == CUDA_R_32F && static_cast<int>(gpu::LtType::kF16) == CUDA_R_16F);
static_assert(static_cast<int>(gpu::LtType::kBf16) == CUDA_R_16BF && static_cast<int>(gpu::LtType::kInt8) == CUDA_R_8I);
static_assert(static_cast<int>(gpu::LtType::kInt32) == CUDA_R_32I);

}  // namespace

TEST_CASE("the real library takes the descriptions that are made of a product") {
  // Descriptions need no device; creating a handle does, and reports an error without one.
  const auto library = SharedLibrary::open({SS_CUBLASLT}, CublasLt::describe_status);
  if (!library) {
    WARN("not compared with the library itself: " << library.error().message);
    SUCCEED();
    return;
  }
  void* multiply = nullptr;
  REQUIRE(library->call(CublasLt::kMultiplyCreate, &multiply, CublasLt::kComputeInt32, CUDA_R_32I));
  const int transposed = CublasLt::kTransposed;
  REQUIRE(library->call(CublasLt::kMultiplySet, multiply, CublasLt::kTransposeA, &transposed, sizeof transposed));
  using GetAttribute = cublasStatus_t (*)(void*, int, void*, std::size_t, std::size_t*);
  const auto get = reinterpret_cast<GetAttribute>(library->find("cublasLtMatmulDescGetAttribute"));
  REQUIRE(get != nullptr);
  int found = -1;
  std::size_t written = 0;
  REQUIRE(get(multiply, CUBLASLT_MATMUL_DESC_TRANSA, &found, sizeof found, &written) == CUBLAS_STATUS_SUCCESS);
  CHECK(found == CUBLAS_OP_T);
  CHECK(library->call(CublasLt::kMultiplyDestroy, multiply));
  void* layout = nullptr;
  REQUIRE(library->call(CublasLt::kLayoutCreate, &layout, static_cast<int>(gpu::LtType::kBf16), 32, 8, 32));
  CHECK(library->call(CublasLt::kLayoutDestroy, layout));
  void* preference = nullptr;
  REQUIRE(library->call(CublasLt::kPreferenceCreate, &preference));
  const std::uint64_t bytes = 1 << 20;
  CHECK(library->call(CublasLt::kPreferenceSet, preference, CublasLt::kPreferWorkspace, &bytes, sizeof bytes));
  CHECK(library->call(CublasLt::kPreferenceDestroy, preference));
  CHECK(CublasLt::version(*library, nullptr).value() == std::to_string(CUBLAS_VER_MAJOR) + "." +
                                                            std::to_string(CUBLAS_VER_MINOR) + "." +
                                                            std::to_string(CUBLAS_VER_PATCH));
}
