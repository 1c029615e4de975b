// Runs the conformance suite on the shim with matmuls by a vendor's library: stand-ins for cuBLASLt and hipBLASLt
// (tests/support/fake_blas_lt.cpp).

#include <fmt/format.h>

#include "conformance/suite.h"
#include "core/shared_library.h"
#include "cuda/cublaslt.h"
#include "gpu/host/backend.h"
#include "gpu/kernels/tables.h"
#include "gpu/shim/device.h"
#include "gpu/workspace_case.h"
#include "hip/hipblaslt.h"
#include "support/catch.h"

using namespace secondsource;
using namespace secondsource::gpu;

namespace {

/// The shim as `target`. The stand-in for its vendor's library computes every matmul that it supports.
conformance::MakeBackend with_library(const std::string& target, bool guards, shim::ThreadOrder order) {
  return [=]() -> Result<std::unique_ptr<Backend>> {
    const bool is_cuda = target == "sm_80";
    GpuOptions options{.backend = "gpu-shim", .guards = guards, .matmul = MatmulBy::kLibrary};
    SS_TRY_VOID(open_library(options, [&](const std::string&) {
      return is_cuda ? cuda::open_cublaslt({SS_FAKE_CUBLASLT}) : hip::open_hipblaslt({SS_FAKE_HIPBLASLT});
    }));
    return make_backend(shim::make_shim_device({.target = target, .order = order, .n_threads = 2}),
                        is_cuda ? shim_sm_80::kernel_table() : shim_gfx90a::kernel_table(), std::move(options));
  };
}

std::int64_t n_matmuls(const char* file) {
  const auto library = SharedLibrary::open({file}).value();
  return reinterpret_cast<std::int64_t (*)()>(library.find("ss_fake_blas_lt_n_matmuls"))();
}

/// Runs the suite with and without guards. Without guards the library writes directly to the output; with guards it writes to
/// scratch memory, so that padding rows of the output stay untouched.
void check_suite(const conformance::SuiteOptions& suite, std::vector<shim::ThreadOrder> orders) {
  std::vector<conformance::Tested> tested;
  for (const char* const target : {"sm_80", "gfx90a"}) {
    for (const bool guards : {false, true}) {
      for (const shim::ThreadOrder order : orders) {
        tested.push_back({fmt::format("{} guards={} order={}", target, guards, static_cast<int>(order)),
                          with_library(target, guards, order)});
      }
    }
  }
  std::int64_t n_passed = 0;
  const std::int64_t n_failed = run_suite(tested, suite, [&](const conformance::CaseReport& report) {
    n_passed += report.verdict == conformance::Verdict::kPassed ? 1 : 0;
    if (report.verdict == conformance::Verdict::kFailed) {
      UNSCOPED_INFO(report.options << ": " << report.name << " seed " << report.seed << ": " << report.text);
    }
  });
  CHECK(n_failed == 0);
  CHECK(n_passed > 0);
}

}  // namespace

TEST_CASE("products by the library hold the conformance suite") {
  const auto before = n_matmuls(SS_FAKE_CUBLASLT) + n_matmuls(SS_FAKE_HIPBLASLT);
  for (const char* const family : {"matmul", "matmul_w8a8", "not_finite", "model"}) {
    conformance::SuiteOptions suite;
    suite.families = {family};
    check_suite(suite, {shim::ThreadOrder::kSeeded});
  }
  CHECK(n_matmuls(SS_FAKE_CUBLASLT) + n_matmuls(SS_FAKE_HIPBLASLT) > before + 100);
}

TEST_CASE("products by the library hold all of the conformance suite in all orders", "[.long]") {
  check_suite({}, {shim::ThreadOrder::kForward, shim::ThreadOrder::kReverse, shim::ThreadOrder::kSeeded});
}

TEST_CASE("a graph with products by the library is made again when the workspace moved") {
  const auto wrong = conformance::check_moved_workspace(with_library("sm_80", false, shim::ThreadOrder::kSeeded));
  CAPTURE(wrong.value_or(""));
  CHECK_FALSE(wrong);
}

TEST_CASE("the fingerprint names the library and its version") {
  const auto backend = with_library("sm_80", false, shim::ThreadOrder::kForward)();
  REQUIRE(backend);
  const auto& properties = (*backend)->device().properties;
  const auto found = std::ranges::find(properties, "matmul_library", &std::pair<std::string, std::string>::first);
  REQUIRE(found != properties.end());
  CHECK(found->second == fmt::format("cublaslt 13.10.0 ({})", SS_FAKE_CUBLASLT));
}
