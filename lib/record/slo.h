#pragma once
// A service level objective (SLO), which is a promise to users, and the test whether a measurement shows that it is
// kept.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/fields.h"
#include "core/result.h"
#include "record/request_sample.h"

namespace secondsource {

/// A promise to users: for `percent` of the requests, the first token arrives within `ttft_ms` of the scheduled
/// arrival, and the following tokens are at most `tpot_ms` apart on average.
struct Slo {
  std::string name{};  ///< a preset's name, or "ttft_ms=500,tpot_ms=30,percent=99"
  double ttft_ms = 0;
  double tpot_ms = 0;
  double percent = 99;

  /// True if `other` is at least as strict as this one, so that a load that keeps `other` keeps this one too.
  [[nodiscard]] bool is_kept_by(const Slo& other) const {
    return other.ttft_ms <= ttft_ms && other.tpot_ms <= tpot_ms && other.percent >= percent;
  }
};
SS_FIELDS(Slo, name, ttft_ms, tpot_ms, percent)

/// The latency limits of MLPerf Inference (mlcommons/inference, loadgen/mlperf.conf), as "mlperf-llama2-70b-server",
/// "mlperf-llama2-70b-interactive", "mlperf-llama3.1-8b-server", ...; nullopt for any other name.
[[nodiscard]] std::optional<Slo> slo_preset(std::string_view name);
/// The names of all presets, separated by commas.
[[nodiscard]] std::string slo_preset_names();
/// Parses a preset's name or explicit limits: "ttft_ms=500,tpot_ms=30", optionally followed by ",percent=90". Errors:
/// kInvalidInput.
Result<Slo> parse_slo(std::string_view text);

/// True if this request kept the SLO: `ttft_e2e` (from the scheduled arrival) and TPOT are compared with the limits. A
/// failed request did not keep it. A request with a single token has no TPOT, and only its first token counts.
[[nodiscard]] bool keeps(const RequestSample& sample, const Slo& slo);

enum class SloVerdict : std::uint8_t { kKept, kNotKept, kTooFewRequests };

struct SloAttainment {
  std::int64_t n_requests = 0;
  std::int64_t n_kept = 0;
  /// The verdict with 95 % confidence by the exact binomial test, or too few requests to decide.
  SloVerdict verdict = SloVerdict::kTooFewRequests;
};

/// The attainment over all these requests.
[[nodiscard]] SloAttainment attainment(std::span<const RequestSample* const> samples, const Slo& slo);

}  // namespace secondsource
