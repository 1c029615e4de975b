#pragma once
// Products through a vendor's library, as cuBLASLt and hipBLASLt offer them. A module opens its vendor's and hands it
// to make_backend(); where there is none, the own kernels make every product.

#include <compare>
#include <cstdint>
#include <memory>
#include <string>

#include "core/result.h"
#include "gpu/device.h"

namespace secondsource::gpu {

/// Of x and of the weight; sums are f32, of int8 whole numbers of 32 bits.
enum class ProductType : std::uint8_t { kBf16, kF16, kInt8 };

/// sums = x W^T, or sums = added + x W^T: x [n_rows, n_inner], W [n_cols, n_inner], sums and added [n_rows, n_cols],
/// all row-major without gaps.
struct LibraryProduct {
  ProductType type = ProductType::kBf16;
  std::int32_t n_rows = 0;
  std::int32_t n_cols = 0;
  std::int32_t n_inner = 0;
  /// Not of kInt8.
  bool adds = false;
  friend auto operator<=>(const LibraryProduct&, const LibraryProduct&) = default;  // NOLINT(modernize-use-nullptr)
};

/// Device memory, aligned to 256 bytes, as the algorithms may expect.
struct LibraryOperands {
  const void* x = nullptr;
  const void* weight = nullptr;
  const void* added = nullptr;  ///< of a product that adds; may be sums
  void* sums = nullptr;
  void* workspace = nullptr;
};

/// One product with the algorithm that the library chose for it, once.
class LibraryPlan {
 public:
  virtual ~LibraryPlan() = default;
  [[nodiscard]] virtual std::size_t workspace_bytes() const = 0;
  /// For the report: "algo66_tile20_stages35_splitk1"; the same text, the same choice.
  [[nodiscard]] virtual const std::string& algorithm() const = 0;
  /// On the stream, or into the graph that it captures, which keeps the plan. Errors: kDeviceLost.
  virtual Result<void> launch(Stream& stream, const LibraryOperands& operands) const = 0;
};

class LibraryMatmul {
 public:
  virtual ~LibraryMatmul() = default;
  /// "cublaslt": begins the names of the kernels in the report.
  [[nodiscard]] virtual const std::string& name() const = 0;
  /// "13.1.0 (libcublasLt.so.13)", for the fingerprint.
  [[nodiscard]] virtual const std::string& version() const = 0;
  /// Errors: kUnsupported when the library has no algorithm for it, in a sentence.
  virtual Result<std::shared_ptr<const LibraryPlan>> plan(const LibraryProduct& product) = 0;
};

}  // namespace secondsource::gpu
