#pragma once
// The counters of a row, the same for every operation: rates of the median repetition, their shares of what the machine
// can do, and how much the repetitions differ.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness.h"
#include "host/machine_probe.h"
#include "record/machine_limits.h"

namespace secondsource::kernel_bench {

/// The fewest repetitions of a row. Below five samples a spread means nothing.
inline constexpr std::size_t kMinRepetitions = 5;

/// Median absolute deviation divided by the median; nullopt below five samples or for a zero median.
[[nodiscard]] std::optional<double> relative_mad(std::span<const double> samples);

/// What the machine could do beside a measurement; nullopt where it is not known.
struct RateLimits {
  std::optional<double> read_bytes_per_s;
  std::optional<double> operations_per_s;
};

/// The limits of a host: the better one of a look at the machine before the measurement and one after it, since other
/// load only lowers them. The looks read from memory; a working set that fits into a cache has the higher rate in
/// `limits`. The peak is that of the narrowest type that correctness allows the dtype's products
/// (docs/correctness.md), scaled by how far the f32 rate is now from the one in `limits`. It is unknown on CPUs with
/// matrix units that were not measured.
[[nodiscard]] RateLimits host_rate_limits(const MachineLimits& limits, const MachineMoment& before,
                                          const MachineMoment& after, const OperationWork& work,
                                          std::string_view dtype);

/// The limits of a device as its backend measured them; empty where it did not measure any.
[[nodiscard]] RateLimits device_rate_limits(const std::optional<MachineLimits>& limits, const OperationWork& work,
                                            std::string_view dtype);

struct RowCounters {
  /// Name and value (README.md says what they mean). A counter whose limit is unknown is left out.
  std::vector<std::pair<std::string, double>> counters;
  std::string label;  ///< the kernel, and the nearer limit if both are known: "matmul_bf16_avx512; limit: read"
};

/// `ns_per_operation`: one sample per repetition; not empty.
[[nodiscard]] RowCounters row_counters(std::span<const double> ns_per_operation, const OperationWork& work,
                                       const RateLimits& limits, const std::string& kernel);

}  // namespace secondsource::kernel_bench
