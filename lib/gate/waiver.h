#pragma once
// Waivers: who accepted which regression, up to what, why, and until when. YAML in the repository, reviewed like code:
//
//   waivers:
//     - id: W-7
//       scope: {backend: onednn, variant: int8, scenario: "offline-*", metric: cost}   # left out: any
//       ceiling_percent: 25
//       owner: kim@example.com
//       reason: the new release quantizes twice; fixed by #812
//       link: https://example.com/issues/812
//       expires: 2026-12-31

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "report/records.h"

namespace secondsource {

/// What a verdict is about; empty or "*" matches anything, and "*" may stand for any part of a name.
struct WaiverScope {
  std::string bundle{}, backend{}, variant{}, scenario{};
  std::string metric{};  ///< "cost" or "ttft"
  friend bool operator==(const WaiverScope&, const WaiverScope&) = default;
};

struct Waiver {
  std::string id{};
  WaiverScope scope{};
  double ceiling_percent = 0;  ///< the waived change may be at most this
  std::string owner{};
  std::string reason{};
  std::string link{};
  std::string expires{};  ///< the last day on which it holds, YYYY-MM-DD
};

[[nodiscard]] bool matches(const WaiverScope& scope, const CellKey& cell, std::string_view metric);

/// Strict: unknown or missing keys, a date that is none, a ceiling that is not positive, or two waivers of one id or
/// one scope are kInvalidInput with the line.
Result<std::vector<Waiver>> parse_waivers(std::string_view yaml, std::string_view name);
Result<std::vector<Waiver>> read_waivers(const std::filesystem::path& path);

/// Is `today` (YYYY-MM-DD) after the last day?
[[nodiscard]] bool is_expired(const Waiver& waiver, std::string_view today);

/// Is it a calendar date, YYYY-MM-DD?
[[nodiscard]] bool is_date(std::string_view text);

}  // namespace secondsource
