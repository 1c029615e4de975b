#pragma once
// The upper bound of a device's speed by the read rate of its memory and its peak of operations (Williams, Waterman,
// Patterson, Roofline, CACM 52, 2009). Nothing is measured here, and a real system stays below the bound.

#include <cstdint>
#include <optional>
#include <string_view>

#include "bundle/model_config.h"
#include "core/enum_names.h"
#include "fit/hardware.h"
#include "fit/model_memory.h"

namespace secondsource {

/// The limit that a ceiling comes from.
enum class CeilingLimit : std::uint8_t { kReads, kOperations };
SS_ENUM_NAMES(CeilingLimit, "reads", "operations")

struct Ceiling {
  double tokens_per_s = 0;
  CeilingLimit limit = CeilingLimit::kReads;
};

/// The combined rates of the devices of one server: n times one device, as if exchanging data took no time.
struct Rates {
  std::optional<double> bytes_per_s{};
  std::optional<double> flops{};  ///< of the type in which the variant multiplies
};

/// 8-bit products for variants with quantized activations, FP16 for f16, otherwise BF16: weights of fewer bits are
/// expanded first. No peak is stated for f32.
[[nodiscard]] Rates rates_of(const Hardware& device, std::int64_t n_devices, std::string_view variant);

/// Output tokens/s of `n_seqs` sequences together, with `context` cached tokens each. For more than one sequence both
/// rates must be known, since either could be the limit; for one sequence the read rate suffices.
[[nodiscard]] std::optional<Ceiling> decode_ceiling(const ModelConfig& config, const ModelMemory& memory,
                                                    const Rates& rates, std::int64_t n_seqs, std::int64_t context);

/// Prompt tokens/s of one prompt of `context` tokens. nullopt without a peak.
[[nodiscard]] std::optional<Ceiling> prefill_ceiling(const ModelConfig& config, const ModelMemory& memory,
                                                     const Rates& rates, std::int64_t context);

}  // namespace secondsource
