#pragma once
// Checks of a backend besides arithmetic: deadlines, poisoning after a lost device, traces, memory, refusals.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace secondsource::conformance {

/// Makes a new backend for every check, because some checks leave a poisoned one.
using MakeBackend = std::function<Result<std::unique_ptr<Backend>>()>;

struct ProtocolCheck {
  std::string_view name;  ///< the checked property, as a sentence
  /// Returns nullopt when the property holds, otherwise the finding.
  std::optional<std::string> (*run)(const MakeBackend& make);
};

[[nodiscard]] std::span<const ProtocolCheck> protocol_checks();

}  // namespace secondsource::conformance
