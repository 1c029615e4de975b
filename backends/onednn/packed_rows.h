#pragma once
// Single rows out of a matrix in oneDNN's layout: a table that is embedded and multiplied (a tied head) is there once,
// packed for the product.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/half.h"
#include "onednn/dnnl_compat.h"

namespace secondsource::onednn {

class PackedRows {
 public:
  /// layout: of weights [K, N], whose column n is the table's row n. nullopt where oneDNN does not say where it puts
  /// what.
  static std::optional<PackedRows> of(const dnnl::memory::desc& layout);

  /// out[k] = scale * matrix(k, row)   out: [K]
  void read(const float* matrix, std::int64_t row, float scale, std::span<float> out) const;
  void read(const Bf16* matrix, std::int64_t row, float scale, std::span<float> out) const;

 private:
  explicit PackedRows(Blocking blocking) : blocking_(std::move(blocking)) {}

  Blocking blocking_;
  std::vector<std::int64_t> inputs_;  ///< [K]: what each k adds to an element's place
};

}  // namespace secondsource::onednn
