#pragma once
// The operations of the oneDNN backend. Matmuls are oneDNN primitives, made when a graph is compiled; everything else is
// in row_kernels.h and attention.cpp and runs in the same OpenMP pool.

#include <unordered_map>
#include <vector>

#include "backend_kit/eager_step.h"
#include "backend_kit/host_kv_pool.h"
#include "core/half.h"
#include "onednn/products.h"
#include "onednn/weights.h"

namespace secondsource::onednn {

/// The cache is kept in BF16.
using KvPool = HostKvPool<Bf16>;

/// The largest head_dim of a RopeAppend; compile() refuses larger ones.
inline constexpr std::int32_t kMaxHeadDim = 512;

class Kernels final : public HostKernels {
 public:
  /// All must outlive this.
  Kernels(dnnl::engine engine, MemoryAccount& account, Products& products, Weights& weights, std::vector<KvPool>& pools,
          int n_threads)
      : engine_(std::move(engine)),
        stream_(engine_),
        account_(account),
        products_(products),
        weights_(weights),
        pools_(pools),
        n_threads_(n_threads) {}

  /// Makes the primitives that a graph needs, for every row count of row_counts(), and its scratch memory.
  Result<void> prepare(const StepGraph& graph, const Bucket& bucket);

  Result<void> run(const Embed& op, const HostFrame& frame) override;
  Result<void> run(const RmsNorm& op, const HostFrame& frame) override;
  Result<void> run(const Matmul& op, const HostFrame& frame) override;
  Result<void> run(const RopeAppend& op, const HostFrame& frame) override;
  Result<void> run(const LatentAppend& op, const HostFrame& frame) override;
  Result<void> run(const HeadMatmul& op, const HostFrame& frame) override;
  Result<void> run(const Attention& op, const HostFrame& frame) override;
  Result<void> run(const SelectColumns& op, const HostFrame& frame) override;
  Result<void> run(const Route& op, const HostFrame& frame) override;
  Result<void> run(const GroupedMatmul& op, const HostFrame& frame) override;
  [[nodiscard]] OpGroup describe(const Op& op, std::int32_t op_index, std::int64_t n_rows) const override;

 private:
  [[nodiscard]] KvPool& pool(const HostFrame& frame) const {
    return pools_[static_cast<std::size_t>(index_of(frame.pool))];
  }
  /// The key of the product of `op`; for a gated epilogue that of the gate.
  [[nodiscard]] ProductKey key_of(const Matmul& op, std::int64_t n_rows) const;
  /// Applies a gelu, the ups of a gated one, and the soft cap to the sums in `out`.
  void finish_gelu(const Matmul& op, const MatrixView<float>& out);
  /// x in the type of the product, padded with rows of zeros to its row count. The scales of quantized rows go to
  /// row_scales_; `act_scale` is that of Matmul.
  [[nodiscard]] dnnl::memory read_input(const MatrixView<float>& x, ProductType type, float act_scale,
                                        const Product& product);
  /// The arguments of the product with one part of the weight. The caller adds the operands of the epilogue.
  [[nodiscard]] std::unordered_map<int, dnnl::memory> arguments_of(const Product& product, const Weight& weight,
                                                                   std::size_t part, const dnnl::memory& src,
                                                                   float* dst) const;
  /// Bytes of the scratch buffers below.
  struct ScratchNeed {
    std::size_t input = 0;
    std::size_t up = 0;
    std::size_t row_scales = 0;
    std::size_t padded_output = 0;
    std::size_t attention = 0;
  };
  /// Makes the primitives of one matmul and raises `need` to what it uses. Errors: as Products::make().
  Result<void> prepare_matmul(const Matmul& op, const StepGraph& graph, const Bucket& bucket, ScratchNeed& need);
  [[nodiscard]] OpGroup describe_matmul(const Matmul& op, std::int32_t op_index) const;
  Result<void> grow(HostBuffer& buffer, std::size_t bytes);

  dnnl::engine engine_;
  dnnl::stream stream_;
  MemoryAccount& account_;
  Products& products_;
  Weights& weights_;
  std::vector<KvPool>& pools_;
  int n_threads_;
  HostBuffer input_scratch_;  ///< [rows, K] as BF16 or int8
  HostBuffer up_scratch_;     ///< [rows, N] f32
  HostBuffer row_scales_;     ///< [rows, N] f32
  HostBuffer padded_output_;  ///< [2, N] f32, of products that multiply one row as two
  HostBuffer attention_scratch_;
};

/// The row counts that primitives are made for, ascending, the last one `max_rows`. A batch uses the next larger one and
/// pads its rows with zeros.
[[nodiscard]] std::vector<std::int64_t> row_counts(std::int64_t max_rows);

/// Floats of scratch memory that attend() needs per thread.
[[nodiscard]] std::size_t attention_scratch_floats(const HeadShape& heads);

/// Attention over the paged cache. sinks: the values of op.sinks, or null. scratch: n_threads *
/// attention_scratch_floats().
Result<void> attend(const Attention& op, const HostFrame& frame, const KvPool& pool, const float* sinks, int n_threads,
                    std::span<float> scratch);

}  // namespace secondsource::onednn
