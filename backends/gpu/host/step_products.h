#pragma once
// The matrix products of one step: chooses our kernel or the vendor's library for each, plans tiles and scratch, and binds
// the launches. Nothing here depends on batches in flight or on captured graphs.

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "gpu/host/step_values.h"

namespace secondsource::gpu {

/// One bound operation: launches its kernels for a batch with this work.
using StepLaunch = std::function<Result<void>(const LaunchContext&, const BatchUpload::Work&)>;

/// Layout of a product's scratch, in bytes from its beginning, where x lies in the type that is multiplied.
struct ProductScratch {
  std::size_t scales = 0;     ///< f32: one per row of x, or one per group of 128 columns with kFp8Group128
  std::size_t sums = 0;       ///< the library's [rows, N], or what MatmulArguments::partial says; 4 bytes per sum
  std::size_t by_expert = 0;  ///< the arrays of ExpertRows, one after the other
  std::size_t workspace = 0;  ///< the library's own workspace
  std::size_t bytes = 0;      ///< total size
};
/// The scratch for x [n_rows, padded_cols] of `value_bytes` per value, and its scales.
[[nodiscard]] ProductScratch product_scratch(std::int64_t n_rows, const WeightView& weight, std::size_t value_bytes);

class StepProducts {
 public:
  /// Everything given must outlive this.
  StepProducts(Shared& shared, const Weights& weights, const StepValues& values)
      : shared_(shared), weights_(weights), values_(values) {}

  /// Chooses our kernel or the vendor's library for this matmul. `op` must be the one later given to scratch_bytes() and
  /// bind(). Errors: kUnsupported if the options demand the library, and it has no algorithm.
  Result<OpGroup> choose(const Matmul& op);
  /// Whether the product's kernel can normalize x itself. The norm must be a plain RMSNorm, with nothing added before or after it;
  /// the product one by dot products with f32 activations, whose output does not lie where the norm's input does.
  [[nodiscard]] bool may_normalize(const RmsNorm& norm, const Matmul& op) const;
  [[nodiscard]] OpGroup describe(const HeadMatmul& op) const;
  [[nodiscard]] OpGroup describe(const GroupedMatmul& op) const;
  [[nodiscard]] std::size_t scratch_bytes(const Matmul& op) const;
  [[nodiscard]] std::size_t scratch_bytes(const HeadMatmul& op) const;
  [[nodiscard]] std::size_t scratch_bytes(const GroupedMatmul& op) const;
  /// Counters by which blocks find out that they are the last to finish a tile: MatmulArguments::n_arrived.
  [[nodiscard]] std::int32_t n_block_counters(const Matmul& op) const;
  /// The launches over the workspace where it is now. `upload`: the step's batches.
  /// `block_counters` has n_block_counters(op) zeros.
  [[nodiscard]] StepLaunch bind(const Matmul& op, const BatchUpload& upload, const DeviceBuffer& block_counters) const;
  /// The same for a product that normalizes its x itself (may_normalize()): the norm's kernel is not launched, and its result is
  /// never stored.
  [[nodiscard]] StepLaunch bind(const RmsNorm& norm, const Matmul& op, const BatchUpload& upload) const;
  [[nodiscard]] StepLaunch bind(const HeadMatmul& op, const BatchUpload& upload) const;
  [[nodiscard]] StepLaunch bind(const GroupedMatmul& op, const BatchUpload& upload) const;
  /// Runs every plan of the library once: what it loads on first use must not be loaded while a graph is captured.
  Result<void> warm_library();

 private:
  /// A product that the vendor's library computes.
  struct LibraryUse {
    std::shared_ptr<const LibraryPlan> plan;
    ProductType type = ProductType::kBf16;
    bool is_direct = false;  ///< the library writes the operation's output; no finish_product kernel follows
  };
  template <typename Arguments>
  using ProductLauncher = Result<void> (*)(const LaunchContext&, const Arguments&);

  /// The device for plan_matmul(), without large tiles if this weight cannot have them.
  [[nodiscard]] MatmulDevice matmul_device(const WeightView& weight, ActQuant act) const;
  /// What the tiles are for: a product of one weight, or those of a mixture's experts.
  enum class TilesOf : std::uint8_t { kProduct, kExperts };
  /// The tiles that the option `tiles` demands, if this weight can have them.
  [[nodiscard]] std::optional<MatmulTiles> forced_tiles(const WeightView& weight, ActQuant act, TilesOf of) const;
  /// Why the tiles of the option are not used; "" if they are, or if there is no such option.
  [[nodiscard]] std::string why_other_tiles(const WeightView& weight, ActQuant act, TilesOf of) const;
  [[nodiscard]] MatmulExtent extent_of(const Matmul& op) const;
  /// Tiles and splits of our kernel for more than kMatvecRows rows.
  [[nodiscard]] MatmulPlan tile_plan(const Matmul& op) const;
  /// Scratch if our kernels compute the product.
  [[nodiscard]] ProductScratch own_scratch(const Matmul& op) const;
  [[nodiscard]] ProductScratch library_scratch(const Matmul& op, const LibraryUse& use) const;
  [[nodiscard]] LibraryOperands library_operands(const Matmul& op, const LibraryUse& use) const;
  /// The arguments of our kernel, except the converted x, the plan and the place of partial sums.
  [[nodiscard]] MatmulArguments arguments_of(const Matmul& op, const BatchUpload& upload) const;
  [[nodiscard]] StepLaunch bind_library(const Matmul& op, const LibraryUse& use, MatmulArguments arguments) const;
  /// The launches of a product with tiles that are in_clusters(). Where the device makes no map of an operand, they fail with its error.
  [[nodiscard]] StepLaunch bind_clusters(const Matmul& op, const MatmulArguments& arguments) const;
  /// Tiles of the product of heads; none where its kernel computes dot products.
  [[nodiscard]] std::optional<MatmulTiles> head_tiles(const HeadMatmul& op) const;
  [[nodiscard]] GroupedExtent extent_of(const GroupedMatmul& op) const;
  /// Tiles of a mixture's product; none with up to kMatvecRows tokens, for which matvec is used.
  [[nodiscard]] std::optional<MatmulTiles> grouped_tiles(const GroupedMatmul& op) const;
  [[nodiscard]] ProductScratch grouped_scratch(const GroupedMatmul& op) const;
  /// Binds one of our kernels and the kernel that converts x first: as `act` says, else for tiles to the type that they multiply.
  template <typename Arguments>
  [[nodiscard]] StepLaunch bind_product(ProductLauncher<Arguments> multiply, const Arguments& arguments,
                                        const WeightView& weight, ActQuant act, float act_scale,
                                        std::int32_t rows_per_token, bool by_tiles) const;

  Shared& shared_;
  const Weights& weights_;
  const StepValues& values_;
  std::map<const Matmul*, LibraryUse> library_uses_;
};

}  // namespace secondsource::gpu
