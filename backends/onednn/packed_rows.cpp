#include "onednn/packed_rows.h"

namespace secondsource::onednn {
namespace {

/// What index `at` of a dimension adds to an element's index in memory, which is the sum over both dimensions.
std::int64_t place_along(const Blocking& blocking, std::int64_t dimension, std::int64_t at) {
  std::int64_t place = 0;
  std::int64_t inner_stride = 1;
  for (std::size_t i = blocking.inner_sizes.size(); i-- > 0;) {  // the innermost block is the last
    const std::int64_t size = blocking.inner_sizes[i];
    if (blocking.inner_dimensions[i] == dimension) {
      place += at % size * inner_stride;
      at /= size;
    }
    inner_stride *= size;
  }
  return place + at * blocking.strides[static_cast<std::size_t>(dimension)];
}

}  // namespace

std::optional<PackedRows> PackedRows::of(const dnnl::memory::desc& layout) {
  std::optional<Blocking> blocking = blocking_of(layout);
  if (!blocking) return std::nullopt;
  PackedRows rows(*std::move(blocking));
  rows.inputs_.resize(static_cast<std::size_t>(dims_of(layout)[0]));
  for (std::size_t k = 0; k < rows.inputs_.size(); ++k) {
    rows.inputs_[k] = place_along(rows.blocking_, 0, static_cast<std::int64_t>(k));
  }
  return rows;
}

void PackedRows::read(const float* matrix, std::int64_t row, float scale, std::span<float> out) const {
  const float* const base = matrix + blocking_.first + place_along(blocking_, 1, row);
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = scale * base[inputs_[k]];
}

void PackedRows::read(const Bf16* matrix, std::int64_t row, float scale, std::span<float> out) const {
  const Bf16* const base = matrix + blocking_.first + place_along(blocking_, 1, row);
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = scale * to_float(base[inputs_[k]]);
}

}  // namespace secondsource::onednn
