#pragma once
// The operations of a server that holds several models: load one, unload one, list those that are loaded and their
// sizes. One implementation for each kind of server (ModelControl in preset.h); docs/systems.md says which requests
// each uses.
//
//   SS_TRY(const std::unique_ptr<ModelHost> host, make_model_host(system, key, on_wait));
//   SS_TRY_VOID(host->load(0));
//   SS_TRY(const std::vector<LoadedModel> loaded, host->loaded());

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "record/served_system.h"
#include "serving/http_client.h"

namespace secondsource {

/// A model that is ready for requests.
struct LoadedModel {
  std::int32_t model = 0;  ///< index in ServedSystem::models
  std::optional<std::int64_t>
      bytes{};  ///< all that it takes, on devices and on the host; absent: the server does not say
  std::vector<std::string> command{};  ///< of the process that holds it alone, on this machine; empty: not known
};

/// Where the weights are after a model was unloaded.
enum class UnloadTo : std::uint8_t { kFiles, kHostMemory };

/// Models are named by their index in ServedSystem::models. Errors of all calls: kUnavailable if the server cannot be reached,
/// refuses, or says that a model failed; kDeadline if it is not done within the system's timeout.
class ModelHost {
 public:
  virtual ~ModelHost() = default;
  /// Returns when the model is ready for requests.
  virtual Result<void> load(std::int32_t model) = 0;
  /// Returns when the model is unloaded. kHostMemory is allowed only if why_no_host_memory() is empty.
  virtual Result<void> unload(std::int32_t model, UnloadTo to) = 0;
  virtual Result<std::vector<LoadedModel>> loaded() = 0;
  /// The files of the model's weights as the server names them, if it runs on this machine. Errors: also kUnavailable,
  /// with the reason, if this process cannot see them.
  virtual Result<std::vector<std::filesystem::path>> files(std::int32_t model) = 0;
  /// Why a model cannot be unloaded to host memory; empty if it can.
  [[nodiscard]] virtual std::string why_no_host_memory() const = 0;
};

/// Called now and then while a model is loaded or unloaded.
using OnWait = std::function<void()>;

/// The host for the kind of server that `system.preset` names. Errors: kUnsupported for a kind that holds one model.
Result<std::unique_ptr<ModelHost>> make_model_host(const ServedSystem& system, const KeySource& key, OnWait on_wait);

}  // namespace secondsource
