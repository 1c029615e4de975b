#pragma once
// Weights of the oneDNN backend. A weight arrives as it is stored; the first graph that uses it decides what becomes of
// it: products get one copy in the layout that oneDNN chose, and what arrived is given back, unless the embedding needs
// its rows too.

#include <array>
#include <span>
#include <vector>

#include "backend/host_memory.h"
#include "backend/op.h"
#include "backend/weights.h"
#include "onednn/dnnl_compat.h"

namespace secondsource::onednn {

/// What a product reads.
enum class ProductType : std::uint8_t {
  kF32,
  kBf16,
  kInt8,  ///< activations quantized too
};

/// A matrix [n_rows, n_cols] as oneDNN's weights [K, N], in a layout of its choice or as it arrived.
struct PackedMatrix {
  dnnl::memory::desc layout;
  dnnl::memory memory;
  HostBuffer buffer;  ///< empty when `memory` borrows the weight's own rows
};

struct Weight {
  WeightSpec spec;            ///< without sources
  HostBuffer rows;            ///< values as transferred; empty once packed and not embedded
  std::vector<float> scales;  ///< [n_rows * scales_per_row]
  std::vector<float> vector;  ///< the values of a weight of one row: norms and biases
  bool is_packed = false;
  ProductType product{};
  std::vector<PackedMatrix> parts;  ///< gate and up for kInterleaveGateUp with f32 and BF16 products, else one
  std::string note;                 ///< added to the kernel's name: where its layout is not the best
  std::string fallback;             ///< why the product is not what the encoding would suggest
};

class Weights {
 public:
  Weights(dnnl::engine engine, MemoryAccount& account, bool fast_bf16)
      : engine_(std::move(engine)), stream_(engine_), account_(account), fast_bf16_(fast_bf16) {}

  Result<WeightId> prepare(const WeightSpec& spec);
  /// Makes ready what the graph needs of its weights. Errors: kUnsupported, kOutOfMemory.
  Result<void> resolve(const StepGraph& graph);
  [[nodiscard]] Result<std::vector<float>> unprepare(WeightId id) const;

  [[nodiscard]] std::span<const WeightSpec> specs() const { return specs_; }
  [[nodiscard]] const Weight& at(WeightId id) const { return weights_[static_cast<std::size_t>(index_of(id))]; }
  /// One row of an embedding table times `scale`.
  void embed_row(WeightId id, std::int64_t row, float scale, std::span<float> out) const;

 private:
  Result<void> pack(Weight& weight, ActQuant act, bool keep_rows);
  Result<void> pack_part(Weight& weight, std::int64_t first_row, std::int64_t n_rows, bool borrow);
  /// Rows of the weight in the type that its product reads.
  void convert_rows(const Weight& weight, std::int64_t first_row, std::int64_t n_rows, std::byte* out) const;

  dnnl::engine engine_;
  mutable dnnl::stream stream_;
  MemoryAccount& account_;
  bool fast_bf16_;
  std::vector<Weight> weights_;
  std::vector<WeightSpec> specs_;
};

/// oneDNN's name of a product's input type.
[[nodiscard]] dnnl::memory::data_type dnnl_type(ProductType type);
[[nodiscard]] std::size_t size_of(ProductType type);

}  // namespace secondsource::onednn
