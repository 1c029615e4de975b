#pragma once
// Reads single rows out of a matrix in oneDNN's layout, so that a table that is both embedded and multiplied (a tied head)
// is kept once, packed for the product.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/half.h"
#include "onednn/dnnl_compat.h"

namespace secondsource::onednn {

class PackedRows {
 public:
  /// layout: that of weights [K, N], whose column n is the table's row n. nullopt if oneDNN does not disclose it.
  static std::optional<PackedRows> of(const dnnl::memory::desc& layout);

  /// out[k] = scale * matrix(k, row)   out: [K]
  void read(const float* matrix, std::int64_t row, float scale, std::span<float> out) const;
  void read(const Bf16* matrix, std::int64_t row, float scale, std::span<float> out) const;

 private:
  explicit PackedRows(Blocking blocking) : blocking_(std::move(blocking)) {}

  Blocking blocking_;
  std::vector<std::int64_t> inputs_;  ///< [K]: what each k adds to an element's index
};

}  // namespace secondsource::onednn
