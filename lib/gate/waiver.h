#pragma once
// A waiver records who accepted which regression, up to which size, why, and until when. Waivers are a YAML file in the
// repository and are reviewed like code:
//
//   waivers:
//     - id: W-7
//       scope: {backend: onednn, variant: int8, scenario: "offline-*", metric: cost}   # a missing key matches any
//       ceiling_percent: 25
//       owner: kim@example.com
//       reason: the new release quantizes twice; fixed by #812
//       link: https://example.com/issues/812
//       expires: 2026-12-31

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "record/records.h"

namespace secondsource {

/// The verdicts that a waiver applies to. An empty field or "*" matches anything, and "*" may stand for any part of a
/// name.
struct WaiverScope {
  std::string bundle{}, backend{}, variant{}, scenario{};
  std::string metric{};  ///< of "cost", "ttft", "ttft_later" and "tpot"
  friend bool operator==(const WaiverScope&, const WaiverScope&) = default;
};

struct Waiver {
  std::string id{};
  WaiverScope scope{};
  double ceiling_percent = 0;  ///< upper limit of the waived change, at most 100
  std::string owner{};         ///< an e-mail address, so that somebody can be asked
  std::string reason{};
  std::string link{};
  std::string expires{};  ///< the last day on which the waiver is valid, YYYY-MM-DD
};

[[nodiscard]] bool matches(const WaiverScope& scope, const CellKey& cell, std::string_view metric);

/// Parsing is strict. Unknown or missing keys, a scope that names nothing, an owner that is not an address
/// (name@domain), an invalid date, a ceiling outside of (0, 100], and two waivers with the same id or the same scope give
/// kInvalidInput with the line.
Result<std::vector<Waiver>> parse_waivers(std::string_view yaml, std::string_view name);
Result<std::vector<Waiver>> read_waivers(const std::filesystem::path& path);

/// True if `today` (YYYY-MM-DD) is after the waiver's last day.
[[nodiscard]] bool is_expired(const Waiver& waiver, std::string_view today);

/// Why the waiver is not in order on `today`, whatever it matches: it has expired, or it is valid for more than a year
/// from then. nullopt if it is in order.
[[nodiscard]] std::optional<std::string> fault_on(const Waiver& waiver, std::string_view today);

/// True if `text` is a calendar date, YYYY-MM-DD.
[[nodiscard]] bool is_date(std::string_view text);

}  // namespace secondsource
