#pragma once
// Prepared weights in device memory. One packed copy serves matvec and tiles: rows in the order of WeightView, padded with
// zeros, int4 two values per byte, scales and zero points in separate buffers.

#include <span>
#include <vector>

#include "backend/op.h"
#include "backend/weights.h"
#include "gpu/host/device_memory.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

struct WeightPiece;

/// The number of threads that pack a weight: n_asked_for or, if that is 0, one for each CPU that this process may use, up to 16.
[[nodiscard]] std::int64_t n_packing_threads(int n_asked_for);

class Weights {
 public:
  /// `memory` must outlive this. `n_threads`: at least 1.
  Weights(DeviceMemory& memory, std::int64_t n_threads) : memory_(memory), n_threads_(n_threads) {}

  /// Reads a weight's rows from its sources and packs them, with several threads, and uploads them. Errors: those of the sources;
  /// kOutOfMemory, kDeviceLost.
  Result<WeightId> prepare(const WeightSpec& spec);
  /// Canonical f32, for tests. Errors: kInvalidInput for an id that was not returned.
  Result<std::vector<float>> unprepare(WeightId id);
  /// Specs of the prepared weights by id, without their sources.
  [[nodiscard]] std::span<const WeightSpec> specs() const { return specs_; }
  [[nodiscard]] const WeightView& view(WeightId id) const { return weights_[slot(id)].view; }
  /// A norm weight or a bias as f32 [n_cols], whatever its encoding.
  [[nodiscard]] const float* vector(WeightId id) const { return weights_[slot(id)].vector.as<float>(); }

 private:
  struct Weight {
    WeightView view;
    DeviceBuffer values;
    DeviceBuffer scales;
    DeviceBuffer zeros;
    DeviceBuffer global_scales;
    DeviceBuffer powers;  ///< WeightView::row_scales, where they are powers of two for tiles of FP16
    DeviceBuffer vector;  ///< f32 copy of weights with one row
  };
  static std::size_t slot(WeightId id) { return static_cast<std::size_t>(index_of(id)); }
  Result<void> fill(const WeightSpec& spec, const Weight& weight);
  /// Fills a weight of one row, and its f32 copy.
  Result<void> fill_vector(const WeightSpec& spec, Weight& weight);
  Result<void> upload(const WeightSpec& spec, const Weight& weight, const WeightPiece& piece);

  DeviceMemory& memory_;
  std::int64_t n_threads_;
  std::vector<WeightSpec> specs_;
  std::vector<Weight> weights_;
};

}  // namespace secondsource::gpu
