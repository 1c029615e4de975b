#pragma once
// Matrix products by a vendor's library, as cuBLASLt and hipBLASLt offer them. A module opens its vendor's library and
// passes it to make_backend(); without one, our kernels compute every product.

#include <compare>
#include <cstdint>
#include <memory>
#include <string>

#include "core/result.h"
#include "gpu/device.h"

namespace secondsource::gpu {

/// Type of x and of the weight. Sums are f32, or int32 for kInt8.
enum class ProductType : std::uint8_t { kBf16, kF16, kInt8 };

/// sums = x W^T, or sums = added + x W^T: x [n_rows, n_inner], W [n_cols, n_inner], sums and added [n_rows, n_cols],
/// all row-major without gaps.
struct LibraryProduct {
  ProductType type = ProductType::kBf16;
  std::int32_t n_rows = 0;
  std::int32_t n_cols = 0;
  std::int32_t n_inner = 0;
  /// True: sums = added + x W^T. Not supported for kInt8.
  bool adds = false;
  friend auto operator<=>(const LibraryProduct&, const LibraryProduct&) = default;  // NOLINT(modernize-use-nullptr)
};

/// Device memory, aligned to 256 bytes, which the algorithms may rely on.
struct LibraryOperands {
  const void* x = nullptr;
  const void* weight = nullptr;
  const void* added = nullptr;  ///< for a product that adds; may be sums
  void* sums = nullptr;
  void* workspace = nullptr;
};

/// One product with the algorithm that the library chose for it.
class LibraryPlan {
 public:
  virtual ~LibraryPlan() = default;
  [[nodiscard]] virtual std::size_t workspace_bytes() const = 0;
  /// For the report: "algo66_tile20_stages35_splitk1". Equal text means equal choice.
  [[nodiscard]] virtual const std::string& algorithm() const = 0;
  /// Enqueues the product, or records it if the stream captures; the graph keeps the plan alive. Errors: kDeviceLost.
  virtual Result<void> launch(Stream& stream, const LibraryOperands& operands) const = 0;
};

class LibraryMatmul {
 public:
  virtual ~LibraryMatmul() = default;
  /// "cublaslt": prefix of the kernel names in the report.
  [[nodiscard]] virtual const std::string& name() const = 0;
  /// "13.1.0 (libcublasLt.so.13)", for the fingerprint.
  [[nodiscard]] virtual const std::string& version() const = 0;
  /// Chooses an algorithm. Errors: kUnsupported if the library has none.
  virtual Result<std::shared_ptr<const LibraryPlan>> plan(const LibraryProduct& product) = 0;
};

}  // namespace secondsource::gpu
