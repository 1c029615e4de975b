#pragma once
// Prepared weights of the reference backend: every encoding as f32, in canonical row order.

#include <span>
#include <vector>

#include "backend/op.h"
#include "backend/weights.h"
#include "backend_kit/host_memory.h"
#include "core/result.h"

namespace secondsource::reference {

class Weights {
 public:
  /// `account` must outlive this.
  explicit Weights(MemoryAccount& account) : account_(account) {}

  Result<WeightId> prepare(const WeightSpec& spec);
  [[nodiscard]] bool has(WeightId id) const { return index_of(id) >= 0 && slot(id) < specs_.size(); }
  /// The specs of the prepared weights by id, without their sources.
  [[nodiscard]] std::span<const WeightSpec> specs() const { return specs_; }
  [[nodiscard]] const WeightSpec& spec(WeightId id) const { return specs_[slot(id)]; }
  /// [n_rows, n_cols]
  [[nodiscard]] std::span<const float> values(WeightId id) const { return buffers_[slot(id)].as<const float>(); }

 private:
  static std::size_t slot(WeightId id) { return static_cast<std::size_t>(index_of(id)); }

  MemoryAccount& account_;
  std::vector<WeightSpec> specs_;
  std::vector<HostBuffer> buffers_;
};

}  // namespace secondsource::reference
