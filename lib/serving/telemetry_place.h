#pragma once
// Where the sensors of the devices of a system that is not ours are read, as plans, --system and records write it: the
// URL of an exporter ("http://host:9400/metrics"), "local" for all GPUs of this machine, or "local:ID+ID" for some of
// them.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

/// The text in its canonical form; a URL without a path gets kMetricsPath. Errors: kInvalidInput.
Result<std::string> parse_telemetry_place(std::string_view text);

/// The ids that "local:ID+ID" names; an empty list for "local"; nullopt for a URL or an empty text.
[[nodiscard]] std::optional<std::vector<std::string>> local_gpu_ids(std::string_view place);

}  // namespace secondsource
