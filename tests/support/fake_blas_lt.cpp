// A stand-in for libcublasLt and, with SS_FAKE_HIPBLASLT, for libhipblaslt, which computes on the CPU and returns when
// the result is complete. It was written from the API references (cublasLt.h 13.10, hipblaslt.h 0.11), independently of
// backends/gpu/host/blas_lt.h, so that a wrong leading dimension, transpose, type or enum value gives an error or a
// wrong sum. It is stricter than the real libraries: features that the backends do not use are refused, operands must
// be aligned to 256 bytes, the algorithm must be the one chosen for exactly this problem, and the workspace is
// overwritten before and after, so that it cannot hold other data.
//
// $SS_FAKE_BLAS_LT: no-device (creating a handle fails), no-algorithm (no algorithm is found), old (hipBLASLt 0.5).

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string_view>

#include "core/half.h"

#define SS_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

#if defined(SS_FAKE_HIPBLASLT)
#define LT(name) hipblasLt##name
constexpr int kNotInitialized = 1, kInvalidValue = 3, kNotSupported = 7;
constexpr int kCompute32F = 2, kCompute32I = 9, kOpN = 111, kOpT = 112;
constexpr int kDescTransA = 0, kDescTransB = 1;
struct Algo {
  int solution;
  int unused;
  std::uint64_t problem;
  std::size_t max_workspace_bytes;
};
#else
#define LT(name) cublasLt##name
constexpr int kNotInitialized = 1, kInvalidValue = 7, kNotSupported = 15;
constexpr int kCompute32F = 68, kCompute32I = 72, kOpN = 0, kOpT = 1;
constexpr int kDescTransA = 3, kDescTransB = 4;
struct Algo {
  std::uint64_t id, problem, unused[6];
};
#endif
constexpr int kSuccess = 0, kPreferMaxWorkspaceBytes = 1;
constexpr int kR32F = 0, kR16F = 2, kR8I = 3, kR32I = 10, kR16BF = 14;

struct HeuristicResult {
  Algo algo;
  std::size_t workspaceSize;
  int state;
  float wavesCount;
  int reserved[4];
};

struct Handle {};
struct Desc {
  int compute_type, scale_type;
  int transa = kOpN, transb = kOpN;
};
struct Layout {
  int type;
  std::uint64_t rows, cols;
  std::int64_t ld;
};
struct Preference {
  std::uint64_t max_workspace_bytes = 0;
};

std::atomic<std::int64_t> n_matmuls{0};

bool asks_for(std::string_view fault) {
  const char* const faults = std::getenv("SS_FAKE_BLAS_LT");
  return faults != nullptr && std::string_view(faults) == fault;
}

int set_int(int& to, const void* from, std::size_t bytes) {
  if (from == nullptr || bytes != sizeof to) return kInvalidValue;
  std::memcpy(&to, from, sizeof to);
  return kSuccess;
}

/// m, n and k of the problem, or the status with which it is refused.
struct Shape {
  int status = kSuccess;
  std::uint64_t m = 0, n = 0, k = 0;
};

Shape shape_of(const Desc& desc, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  for (const Layout* const layout : {&a, &b, &c, &d}) {
    if (layout->rows == 0 || layout->cols == 0 || layout->ld < static_cast<std::int64_t>(layout->rows)) {
      return {kInvalidValue};
    }
  }
  const bool a_is_turned = desc.transa == kOpT, b_is_turned = desc.transb == kOpT;
  Shape shape{kSuccess, a_is_turned ? a.cols : a.rows, b_is_turned ? b.rows : b.cols, a_is_turned ? a.rows : a.cols};
  if ((b_is_turned ? b.cols : b.rows) != shape.k) return {kInvalidValue};
  for (const Layout* const out : {&c, &d}) {
    if (out->rows != shape.m || out->cols != shape.n || out->type != d.type) return {kInvalidValue};
  }
  if (a.type != b.type) return {kNotSupported};
  if (desc.compute_type == kCompute32I) {
    // The documented requirements for int8 on the matrix cores: a transposed, b not, and m, k and the strides multiples
    // of 4.
    const bool is_supported = desc.scale_type == kR32I && a.type == kR8I && d.type == kR32I && a_is_turned &&
                              !b_is_turned && shape.m % 4 == 0 && shape.k % 4 == 0 && a.ld % 4 == 0 && b.ld % 4 == 0;
    return is_supported ? shape : Shape{kNotSupported};
  }
  const bool is_supported = desc.compute_type == kCompute32F && desc.scale_type == kR32F &&
                            (a.type == kR16BF || a.type == kR16F) && d.type == kR32F;
  return is_supported ? shape : Shape{kNotSupported};
}

/// A hash that distinguishes problems.
std::uint64_t number_of(const Desc& desc, const Layout& a, const Shape& shape) {
  std::uint64_t number = static_cast<std::uint64_t>(a.type);
  for (const std::uint64_t part :
       {shape.m, shape.n, shape.k, static_cast<std::uint64_t>(desc.transa), static_cast<std::uint64_t>(desc.transb)}) {
    number = number * 1'000'003 + part;
  }
  return number;
}

double real_at(const void* values, int type, std::uint64_t at) {
  if (type == kR32F) return static_cast<const float*>(values)[at];
  if (type == kR16BF) return secondsource::to_float(static_cast<const secondsource::Bf16*>(values)[at]);
  return secondsource::to_float(static_cast<const secondsource::F16*>(values)[at]);
}

std::uint64_t index_of(const Layout& layout, bool is_turned, std::uint64_t row, std::uint64_t col) {
  return (is_turned ? col : row) + (is_turned ? row : col) * static_cast<std::uint64_t>(layout.ld);
}

template <typename T>
T scalar(const void* value) {
  T result;
  std::memcpy(&result, value, sizeof result);
  return result;
}

}  // namespace

SS_EXPORT std::int64_t ss_fake_blas_lt_n_matmuls() {
  return n_matmuls;
}

SS_EXPORT int LT(Create)(Handle** handle) {
  if (asks_for("no-device")) return kNotInitialized;
  *handle = std::make_unique<Handle>().release();
  return kSuccess;
}
SS_EXPORT int LT(Destroy)(Handle* handle) {
  const std::unique_ptr<Handle> own(handle);
  return kSuccess;
}
#if defined(SS_FAKE_HIPBLASLT)
SS_EXPORT int hipblasLtGetVersion(Handle* handle, int* version) {
  if (handle == nullptr) return kNotInitialized;
  *version = asks_for("old") ? 500 : 1100;
  return kSuccess;
}
#else
SS_EXPORT std::size_t cublasLtGetVersion() {
  return 131000;
}
SS_EXPORT const char* cublasLtGetStatusString(int status) {
  return status == kNotInitialized ? "the library was not initialized" : "an unsupported value or parameter";
}
SS_EXPORT int cublasLtMatmulAlgoConfigGetAttribute(const Algo* algo, int attribute, void* to, std::size_t bytes,
                                                   std::size_t* written) {
  if (bytes != sizeof(int)) return kInvalidValue;
  int value = 0;
  switch (attribute) {
    case 0:
      value = static_cast<int>(algo->id);
      break;
    case 1:
      value = 20;
      break;
    case 2:
      value = 1;
      break;
    case 6:
      value = 35;
      break;
    default:
      return kInvalidValue;
  }
  std::memcpy(to, &value, sizeof value);
  *written = sizeof value;
  return kSuccess;
}
#endif

SS_EXPORT int LT(MatmulDescCreate)(Desc** desc, int compute_type, int scale_type) {
  *desc = std::make_unique<Desc>(Desc{compute_type, scale_type}).release();
  return kSuccess;
}
SS_EXPORT int LT(MatmulDescDestroy)(Desc* desc) {
  const std::unique_ptr<Desc> own(desc);
  return kSuccess;
}
SS_EXPORT int LT(MatmulDescSetAttribute)(Desc* desc, int attribute, const void* from, std::size_t bytes) {
  int op = 0;
  const int status = set_int(op, from, bytes);
  if (status != kSuccess || (op != kOpN && op != kOpT)) return kInvalidValue;
  if (attribute != kDescTransA && attribute != kDescTransB) return kInvalidValue;
  (attribute == kDescTransA ? desc->transa : desc->transb) = op;
  return kSuccess;
}

SS_EXPORT int LT(MatrixLayoutCreate)(Layout** layout, int type, std::uint64_t rows, std::uint64_t cols,
                                     std::int64_t ld) {
  *layout = std::make_unique<Layout>(Layout{type, rows, cols, ld}).release();
  return kSuccess;
}
SS_EXPORT int LT(MatrixLayoutDestroy)(Layout* layout) {
  const std::unique_ptr<Layout> own(layout);
  return kSuccess;
}

SS_EXPORT int LT(MatmulPreferenceCreate)(Preference** preference) {
  *preference = std::make_unique<Preference>().release();
  return kSuccess;
}
SS_EXPORT int LT(MatmulPreferenceDestroy)(Preference* preference) {
  const std::unique_ptr<Preference> own(preference);
  return kSuccess;
}
SS_EXPORT int LT(MatmulPreferenceSetAttribute)(Preference* preference, int attribute, const void* from,
                                               std::size_t bytes) {
  if (attribute != kPreferMaxWorkspaceBytes || bytes != sizeof(std::uint64_t)) return kInvalidValue;
  preference->max_workspace_bytes = scalar<std::uint64_t>(from);
  return kSuccess;
}

SS_EXPORT int LT(MatmulAlgoGetHeuristic)(Handle* handle, Desc* desc, Layout* a, Layout* b, Layout* c, Layout* d,
                                         Preference* preference, int n_wanted, HeuristicResult* results, int* n_found) {
  *n_found = 0;
  if (handle == nullptr) return kNotInitialized;
  if (n_wanted < 1) return kInvalidValue;
  const Shape shape = shape_of(*desc, *a, *b, *c, *d);
  if (shape.status != kSuccess) return shape.status;
  if (asks_for("no-algorithm")) return kSuccess;
  HeuristicResult result{};
#if defined(SS_FAKE_HIPBLASLT)
  result.algo.solution = 4711;
#else
  result.algo.id = 66;
#endif
  result.algo.problem = number_of(*desc, *a, shape);
  result.workspaceSize = 256 * (1 + shape.m % 7);
  if (result.workspaceSize > preference->max_workspace_bytes) return kSuccess;
  result.wavesCount = 1.0F;
  results[0] = result;
  *n_found = 1;
  return kSuccess;
}

SS_EXPORT int LT(Matmul)(Handle* handle, Desc* desc, const void* alpha, const void* a, Layout* a_layout, const void* b,
                         Layout* b_layout, const void* beta, const void* c, Layout* c_layout, void* d, Layout* d_layout,
                         const Algo* algo, void* workspace, std::size_t workspace_bytes, void* /*stream*/) {
  if (handle == nullptr) return kNotInitialized;
  const Shape shape = shape_of(*desc, *a_layout, *b_layout, *c_layout, *d_layout);
  if (shape.status != kSuccess) return shape.status;
  if (algo == nullptr || algo->problem != number_of(*desc, *a_layout, shape)) return kInvalidValue;
  if (workspace_bytes < 256 * (1 + shape.m % 7)) return kInvalidValue;
  for (const void* const operand : {a, b, c, static_cast<const void*>(d), static_cast<const void*>(workspace)}) {
    if (operand == nullptr || reinterpret_cast<std::uintptr_t>(operand) % 256 != 0) return kInvalidValue;
  }
  ++n_matmuls;
  std::memset(workspace, 0x5a, workspace_bytes);
  const bool a_is_turned = desc->transa == kOpT, b_is_turned = desc->transb == kOpT;
  for (std::uint64_t col = 0; col < shape.n; ++col) {
    for (std::uint64_t row = 0; row < shape.m; ++row) {
      const std::uint64_t at = row + col * static_cast<std::uint64_t>(d_layout->ld);
      const std::uint64_t c_at = row + col * static_cast<std::uint64_t>(c_layout->ld);
      if (desc->compute_type == kCompute32I) {
        std::int64_t sum = 0;
        for (std::uint64_t k = 0; k < shape.k; ++k) {
          sum += std::int64_t{static_cast<const std::int8_t*>(a)[index_of(*a_layout, a_is_turned, row, k)]} *
                 static_cast<const std::int8_t*>(b)[index_of(*b_layout, b_is_turned, k, col)];
        }
        sum *= scalar<std::int32_t>(alpha);
        if (const auto factor = scalar<std::int32_t>(beta); factor != 0) {
          sum += std::int64_t{factor} * static_cast<const std::int32_t*>(c)[c_at];
        }
        if (sum > std::numeric_limits<std::int32_t>::max() || sum < std::numeric_limits<std::int32_t>::min()) {
          return kNotSupported;
        }
        static_cast<std::int32_t*>(d)[at] = static_cast<std::int32_t>(sum);
        continue;
      }
      double sum = 0;
      for (std::uint64_t k = 0; k < shape.k; ++k) {
        sum += real_at(a, a_layout->type, index_of(*a_layout, a_is_turned, row, k)) *
               real_at(b, b_layout->type, index_of(*b_layout, b_is_turned, k, col));
      }
      sum *= static_cast<double>(scalar<float>(alpha));
      if (const auto factor = scalar<float>(beta); factor != 0.0F) {
        sum += static_cast<double>(factor) * real_at(c, c_layout->type, c_at);
      }
      static_cast<float*>(d)[at] = static_cast<float>(sum);
    }
  }
  std::memset(workspace, 0x5a, workspace_bytes);
  return kSuccess;
}
