#pragma once
// What a backend must do besides arithmetic: deadlines, poison, traces, memory, refusals.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace secondsource::conformance {

/// A fresh backend for every check: some of them end with a poisoned one.
using MakeBackend = std::function<Result<std::unique_ptr<Backend>>()>;

struct ProtocolCheck {
  std::string_view name;  ///< a sentence
  /// Nothing when it holds, else the finding.
  std::optional<std::string> (*run)(const MakeBackend& make);
};

[[nodiscard]] std::span<const ProtocolCheck> protocol_checks();

}  // namespace secondsource::conformance
