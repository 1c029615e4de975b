#pragma once
// One compiled forward pass: a list of kernel launches with their arguments, captured as a graph before it runs, and
// what it takes to send a batch in and get the sampled tokens out without waiting.

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "backend_kit/workspace_plan.h"
#include "gpu/host/backend.h"
#include "gpu/host/batch_upload.h"

namespace secondsource::gpu {

inline constexpr std::size_t kWorkspaceAlignment = 256;

/// What a product has in the scratch: first x, in the type that is multiplied.
struct ProductScratch {
  std::size_t scales = 0;     ///< byte where a float a row of x begins
  std::size_t sums = 0;       ///< a library's [rows, weight's rows], or of each split of K, 4 bytes each
  std::size_t by_expert = 0;  ///< numbers of ExpertRows, one array after the other
  std::size_t workspace = 0;  ///< of the library's own
  std::size_t bytes = 0;      ///< of all
};
/// Of x in `value_bytes` each, and scales.
[[nodiscard]] ProductScratch product_scratch(std::int64_t n_rows, const WeightView& weight,
                                             std::size_t value_bytes = sizeof(std::int8_t));

class GpuStep final : public Step {
 public:
  /// The graph was checked. Everything given must outlive the step.
  static Result<std::unique_ptr<GpuStep>> create(Shared& shared, const Weights& weights, const KvPool& pool,
                                                 std::vector<std::shared_ptr<DeviceBuffer>> inv_freqs,
                                                 const StepGraph& graph, const Bucket& bucket,
                                                 GroupTiming group_timing);
  ~GpuStep() override;

  [[nodiscard]] std::size_t workspace_bytes() const override { return workspace_bytes_; }
  [[nodiscard]] std::span<const OpGroup> groups() const override { return groups_; }
  Result<void> make_ready() override;
  Result<Ticket> submit(const Batch& batch) override;
  Result<std::vector<float>> read_value(ValueId id) const override;

  /// Waits for a ticket of this step's. Errors: kDeadline, kDeviceLost.
  Result<StepResult> finish(Ticket ticket, Deadline deadline);
  [[nodiscard]] bool has(Ticket ticket) const;

 private:
  struct Flight;
  using Launch = std::function<Result<void>(const LaunchContext&)>;
  template <typename Arguments>
  using ProductLauncher = Result<void> (*)(const LaunchContext&, const Arguments&);

  GpuStep(Shared& shared, const Weights& weights, const KvPool& pool, const StepGraph& graph, const Bucket& bucket,
          GroupTiming group_timing);
  Result<void> set_up(std::vector<std::shared_ptr<DeviceBuffer>> inv_freqs);
  Result<void> prepare_results();
  void plan_scratch();
  /// The launches of every operation, over the workspace where it is now.
  void bind();
  Launch bind_op(const Op& op);  // step_launches.cpp
  /// Who multiplies where several tokens of a sequence attend.
  [[nodiscard]] PrefillBy prefill() const;

  // step_products.cpp
  /// A product that the vendor's library makes.
  struct LibraryUse {
    std::shared_ptr<const LibraryPlan> plan;
    ProductType type = ProductType::kBf16;
    bool is_direct = false;  ///< its sums are the operation's output as they are
  };
  /// The device as a product by tiles has it, and the tiles that the options ask for: without warpgroups where they
  /// cannot make it.
  [[nodiscard]] MatmulDevice matmul_device(const WeightView& weight, ActQuant act) const;
  [[nodiscard]] std::optional<MatmulTiles> forced_tiles(const WeightView& weight, ActQuant act) const;
  /// Why other tiles than the options ask for; "" where they are these.
  [[nodiscard]] std::string why_other_tiles(const WeightView& weight, ActQuant act) const;
  /// How the own kernels cut it, with more than kMatvecRows rows.
  [[nodiscard]] MatmulPlan tile_plan(const Matmul& op) const;
  /// Of the own kernels, whatever they cut.
  [[nodiscard]] ProductScratch own_scratch(const Matmul& op) const;
  /// Who makes it. Errors: kUnsupported when that has to be the library, which cannot.
  Result<OpGroup> choose_matmul(const Matmul& op);
  [[nodiscard]] ProductScratch library_scratch(const Matmul& op, const LibraryUse& use) const;
  [[nodiscard]] LibraryOperands library_operands(const Matmul& op, const LibraryUse& use) const;
  /// Every plan once: what libraries load the first time may not be loaded while a graph is captured.
  Result<void> warm_library();
  Launch bind_matmul(const Matmul& op);
  Launch bind_library(const Matmul& op, const LibraryUse& use, MatmulArguments arguments);
  [[nodiscard]] GroupedExtent extent_of(const GroupedMatmul& op) const;
  /// Tiles of a mixture's product; none with up to kMatvecRows tokens, which dot products make.
  [[nodiscard]] std::optional<MatmulTiles> grouped_tiles(const GroupedMatmul& op) const;
  [[nodiscard]] ProductScratch grouped_scratch(const GroupedMatmul& op) const;
  [[nodiscard]] OpGroup describe_grouped(const GroupedMatmul& op) const;
  Launch bind_grouped(const GroupedMatmul& op);
  /// Of a product: x goes through the scratch, as int8 with `act`, else as BF16 for tiles.
  template <typename Arguments>
  Launch bind_product(ProductLauncher<Arguments> multiply, Arguments arguments, const WeightView& weight, ActQuant act,
                      std::int32_t rows_per_token, bool by_tiles);
  [[nodiscard]] bool by_graph() const { return shared_.options.use_graphs && group_timing_ == GroupTiming::kOff; }
  [[nodiscard]] std::unique_ptr<Graph>& graph_for(const BatchUpload::Work& work) {
    return graphs_[(work.n_query_tiles > 0 ? 1U : 0U) + (work.n_decodes > 0 ? 2U : 0U)];
  }
  Result<void> capture(const BatchUpload::Work& work);
  Result<void> run(const BatchUpload::Work& work, Flight& flight);
  Result<void> launch_all(const BatchUpload::Work& work, Flight* timed);
  Result<StepResult> collect(Flight& flight);
  Result<void> check_guards(const Flight& flight) const;

  [[nodiscard]] float* place(ValueId id) const;
  [[nodiscard]] const ValueDesc& desc(ValueId id) const {
    return graph_.values[static_cast<std::size_t>(index_of(id))];
  }
  [[nodiscard]] const std::int32_t* n_rows(Rows rows) const;
  [[nodiscard]] std::int32_t max_rows_of(ValueId id) const { return max_rows(desc(id).rows, bucket_); }
  /// Scratch of one operation, which the next one may overwrite.
  [[nodiscard]] std::byte* scratch() const;

  Shared& shared_;
  const Weights& weights_;
  const KvPool& pool_;
  StepGraph graph_;
  Bucket bucket_;
  GroupTiming group_timing_;
  WorkspacePlan plan_;
  std::size_t workspace_bytes_ = 0;
  BatchLimits limits_;
  BatchUpload upload_;
  std::vector<std::shared_ptr<DeviceBuffer>> inv_freqs_;  ///< one a rope
  std::vector<OpGroup> groups_;
  std::map<const Matmul*, LibraryUse> library_uses_;  ///< by operation of graph_
  std::int32_t n_splits_ = 1;
  std::int32_t split_tokens_ = 1;
  const Sample* sample_ = nullptr;
  DeviceBuffer sampled_;  ///< SampledRow [L], then TokenLogprob [L, n_top]
  std::size_t sampled_bytes_ = 0;

  std::vector<Launch> launches_;
  std::uint64_t bound_generation_ = 0;
  /// With and without work for the prefill and for the decode attention.
  std::array<std::unique_ptr<Graph>, 4> graphs_;
  BatchUpload::Work launching_;  ///< what bind_op's attention launches for

  std::array<std::unique_ptr<Flight>, BatchUpload::kInFlight> flights_;
  std::array<std::int32_t, 3> last_rows_{};  ///< by Rows, of the last submit
};

}  // namespace secondsource::gpu
