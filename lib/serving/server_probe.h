#pragma once
// Asks a server, before anything is measured, for its model, its version, and its settings as far as it reports them.

#include <optional>
#include <string>

#include "core/result.h"
#include "record/adapter_system.h"
#include "record/served_system.h"
#include "serving/endpoint.h"

namespace secondsource {

struct ProbedSystem {
  SystemRequest request;
  ServedSystem record;
  std::optional<AdapterSystem> adapter{};  ///< present for an adapter, and `record` is then not used
  std::string unavailable{};               ///< why the system cannot be measured; empty if it can
};

/// The system as far as the request itself describes it.
[[nodiscard]] ProbedSystem described(const SystemRequest& request);

/// A server that cannot be reached or that refuses is not an error but a result. Errors: kInvalidInput for a key that
/// cannot be read; kIo, kOutOfMemory, kUnsupported.
Result<ProbedSystem> probe_server(const SystemRequest& request);

}  // namespace secondsource
