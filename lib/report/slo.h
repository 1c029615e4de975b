#pragma once
// A promise to users, and whether a measurement shows that it is kept.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"
#include "report/records.h"

namespace secondsource {

/// The latency limits of MLPerf Inference (mlcommons/inference, loadgen/mlperf.conf), as "mlperf-llama2-70b-server",
/// "mlperf-llama2-70b-interactive", "mlperf-llama3.1-8b-server", ...; nullopt for any other name.
[[nodiscard]] std::optional<Slo> slo_preset(std::string_view name);
/// All names, with commas between.
[[nodiscard]] std::string slo_preset_names();
/// A preset's name, or limits of one's own: "ttft_ms=500,tpot_ms=30", with ",percent=90" behind it if wanted.
/// Errors: kInvalidInput.
Result<Slo> parse_slo(std::string_view text);

/// Did this request get what was promised? `ttft_e2e` (from the scheduled arrival) and TPOT against the limits. One
/// that failed did not; one with a single token has no TPOT, and only its first token counts.
[[nodiscard]] bool keeps(const RequestSample& sample, const Slo& slo);

enum class SloVerdict : std::uint8_t { kKept, kNotKept, kTooFewRequests };

struct SloAttainment {
  std::int64_t n_requests = 0;
  std::int64_t n_kept = 0;
  /// With 95 % confidence, by the exact binomial test; else too few requests to tell.
  SloVerdict verdict = SloVerdict::kTooFewRequests;
};

/// Of all these requests.
[[nodiscard]] SloAttainment attainment(std::span<const RequestSample* const> samples, const Slo& slo);

}  // namespace secondsource
