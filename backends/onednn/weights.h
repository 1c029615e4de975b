#pragma once
// Weights of the oneDNN backend. prepare() keeps a weight as it is stored. The first graph that multiplies it makes one
// copy in the layout that oneDNN chooses and frees the stored rows. An embedding reads its rows from that copy too, unless
// the product needs them in another type.

#include <span>
#include <vector>

#include "backend/op.h"
#include "backend/weights.h"
#include "backend_kit/host_memory.h"
#include "onednn/packed_rows.h"
#include "onednn/products.h"

namespace secondsource::onednn {

/// A matrix [n_rows, n_cols] as oneDNN's weights [K, N], in a layout of its choice.
struct PackedMatrix {
  dnnl::memory::desc layout;
  HostBuffer buffer;
  dnnl::memory memory;  ///< the buffer's bytes
};

struct Weight {
  WeightSpec spec;            ///< without sources
  HostBuffer rows;            ///< values as transferred; empty once they are needed only in packed form
  std::vector<float> scales;  ///< [n_rows * scales_per_row]
  std::vector<float> vector;  ///< a weight of one row (a norm, a bias) as f32
  bool is_embedded = false;   ///< by some graph so far
  bool is_packed = false;
  ProductType product{};
  std::vector<PackedMatrix> parts;        ///< gate and up for kInterleaveGateUp, else one
  std::optional<PackedRows> packed_rows;  ///< for embeddings, once `rows` is empty
  std::string note;                       ///< appended to the kernel's name if the values are kept twice
  std::string fallback;                   ///< why the product is not the one that the encoding suggests
};

class Weights {
 public:
  /// `account` and `products` must outlive this.
  Weights(dnnl::engine engine, MemoryAccount& account, const Products& products, bool fast_bf16)
      : engine_(std::move(engine)),
        stream_(engine_),
        account_(account),
        products_(products),
        fast_bf16_(fast_bf16),
        widens_int8_(multiplies_bf16_by_int8(engine_)) {}

  Result<WeightId> prepare(const WeightSpec& spec);
  /// Packs the weights that the graph multiplies. Errors: kUnsupported, kOutOfMemory.
  Result<void> resolve(const StepGraph& graph);
  [[nodiscard]] Result<std::vector<float>> unprepare(WeightId id) const;

  [[nodiscard]] std::span<const WeightSpec> specs() const { return specs_; }
  [[nodiscard]] const Weight& at(WeightId id) const { return weights_[static_cast<std::size_t>(index_of(id))]; }
  /// One row of an embedding table times `scale`.
  void embed_row(WeightId id, std::int64_t row, float scale, std::span<float> out) const;

 private:
  Result<void> pack(Weight& weight, ActQuant act);
  Result<void> pack_part(Weight& weight, std::int64_t first_row, std::int64_t n_rows);
  /// Converts rows of the weight to the type that its product reads.
  void convert_rows(const Weight& weight, std::int64_t first_row, std::int64_t n_rows, std::byte* out) const;

  dnnl::engine engine_;
  mutable dnnl::stream stream_;
  MemoryAccount& account_;
  const Products& products_;
  bool fast_bf16_;
  bool widens_int8_;  ///< products of BF16 rows take int8 weights as they are
  std::vector<Weight> weights_;
  std::vector<WeightSpec> specs_;
};

}  // namespace secondsource::onednn
