#include "reference/weights.h"

#include "backend/check_graph.h"
#include "backend_kit/weight_rows.h"

namespace secondsource::reference {

Result<WeightId> Weights::prepare(const WeightSpec& spec) {
  SS_TRY_VOID(check_weight_spec(spec));
  const auto n_values = static_cast<std::size_t>(spec.n_rows * spec.n_cols);
  auto buffer = HostBuffer::allocate(account_, MemoryPurpose::kWeights, n_values * sizeof(float));
  if (!buffer) return buffer.error().with_context("weight " + spec.name);
  const std::span<float> values = buffer->as<float>();
  SS_TRY_VOID(pull_weight_rows(spec, [&](const WeightRows& rows) -> Result<void> {
    decode_weight_rows(spec.encoding, spec.n_cols, rows,
                       values.subspan(static_cast<std::size_t>(rows.first_row * spec.n_cols),
                                      static_cast<std::size_t>(rows.n_rows * spec.n_cols)));
    return {};
  }));
  specs_.push_back(spec);
  specs_.back().parts.clear();  // the sources may hold a file open
  buffers_.push_back(std::move(buffer).value());
  return WeightId{static_cast<std::int32_t>(specs_.size()) - 1};
}

}  // namespace secondsource::reference
