#include "backend/block_values.h"

#include "core/check.h"

namespace secondsource {

void values_of_block(WeightEncoding encoding, std::span<const std::byte> codes, std::span<const float> floats,
                     std::span<float> values) {
  const BlockForm form = block_form(encoding);
  const auto n_cols = static_cast<std::size_t>(form.n_cols);
  const auto n_units = static_cast<std::size_t>(form.n_units());
  const auto n_parts = static_cast<std::size_t>(form.n_parts());
  SS_CHECK(n_cols > 0 && codes.size() == n_cols && values.size() == n_cols, "values_of_block: columns");
  SS_CHECK(static_cast<std::int64_t>(floats.size()) == form.n_floats(), "values_of_block: floats");
  for (std::size_t i = 0; i < n_cols; ++i) {
    float scale = floats[0];
    float least = form.has_minima ? floats[1] : 0.0F;
    if (n_parts > 0) {
      const std::size_t part = i / static_cast<std::size_t>(form.part_cols);
      scale *= floats[n_units + part];
      if (form.has_minima) least *= floats[n_units + n_parts + part];
    }
    const float product = scale * static_cast<float>(static_cast<std::int8_t>(codes[i]));
    values[i] = form.has_minima ? product - least : product;
  }
}

}  // namespace secondsource
