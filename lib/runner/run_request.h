#pragma once
// What a run is asked to measure, before any bundle is opened: plan_file.h reads it from a file, and the command line adds its flags.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "record/records.h"
#include "record/run_settings.h"
#include "serving/endpoint.h"

namespace secondsource {

/// One entry of BackendOptions::extra, for one backend.
struct BackendOption {
  std::string backend;
  std::string key;
  std::string value;
};

/// What the flags and the plan file together ask for. An empty field means the default.
struct RunRequest {
  std::vector<std::filesystem::path> bundles;
  std::string suite = "smoke";
  std::vector<std::string> backends;  ///< default: every available module
  std::vector<std::string> required;  ///< backends that must be available
  std::vector<std::string> variants;  ///< default: a published one, bf16 and int8, where the bundle has them
  std::vector<std::string> scenarios;
  std::optional<Batching> batching;  ///< for all scenarios; nullopt: as each scenario specifies
  std::int32_t n_shared_prefix = 0;  ///< for all scenarios; 0: as each scenario specifies
  std::optional<Slo> slo;
  std::int32_t repetitions = 3;
  std::uint64_t seed = 1;
  std::optional<LoadClient> client{};                       ///< the run is one of several clients of its servers
  std::vector<std::pair<std::string, std::string>> faults;  ///< pairs of a backend and a fault (fault/fault.h)
  std::vector<BackendOption> backend_options;
  /// Pairs of a backend and a DeviceInfo::id. An empty backend stands for the only backend in `backends`. Default: the
  /// first device.
  std::vector<std::pair<std::string, std::string>> devices;
  std::vector<SystemRequest> systems;  ///< servers; with systems and without `backends`, no module runs
  RunSettings settings;
  std::optional<PricedInstance> price;
};

}  // namespace secondsource
