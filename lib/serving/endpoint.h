#pragma once
// A system that is not ours, as a plan or the command line names it: a server behind a URL, or a runtime behind an
// adapter.
//
//   --system vllm=http://127.0.0.1:8000,preset=vllm,key_env=VLLM_API_KEY
//   --system hf=adapter:transformers,dtype=bfloat16

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "record/adapter_system.h"
#include "record/served_system.h"
#include "serving/api_key.h"
#include "serving/feature_settings.h"

namespace secondsource {

struct SystemRequest {
  std::string name;  ///< of the rows, as a backend's name
  std::string url;   ///< as parse_server_url() gives it, with the path of the API
  ServerPreset preset = ServerPreset::kAny;
  ServedApi api = ServedApi::kCompletions;
  HttpVersion http = HttpVersion::kAutomatic;
  std::string model;       ///< empty: the only one that the server lists
  std::string variant;     ///< whose expected outputs are those of the served weights; empty: the run's first
  std::string bundle;      ///< name of the bundle that is served; empty: the run's only one
  double timeout_s = 300;  ///< of one request, from sending to its end
  /// How many devices the server uses, for prices and tokens/s per device; absent: not stated.
  std::optional<std::int32_t> n_devices{};
  KeySource key;
  /// Not empty: the server holds several models, one for each of several bundles of the run, which take turns on it.
  std::vector<ServedModel> models{};
  std::string metrics{};    ///< a path of the server, a URL, or "none"; empty: the preset's path
  std::string telemetry{};  ///< where the sensors of its devices are (telemetry_place.h); empty: nowhere
  PlannedFeatures features{};
  std::optional<ManagedStart> managed{};  ///< present: this program starts the server
  /// Present: not a server, but an adapter that this program starts. The fields that the adapter reports about itself
  /// are still empty, and {adapters} in its command stands for the folder of the adapters that come with this program.
  std::optional<AdapterSystem> adapter{};
};

inline constexpr std::string_view kNoMetrics = "none";
inline constexpr std::string_view kAdapterUrl = "adapter:";
inline constexpr std::string_view kAdaptersPlace = "{adapters}";
inline constexpr double kDefaultAdapterDeadlineS = 600;

/// Parses NAME=URL[,KEY=VALUE]... with the keys preset, api, http, model, models (BUNDLE:MODEL+BUNDLE:MODEL), variant,
/// bundle, timeout, devices, key_env, key_file, metrics, telemetry, speculative, prefix_cache and kv_cache; or
/// NAME=adapter:RUNTIME[,KEY=VALUE]... with the keys variant, bundle, devices, telemetry and python, and others that
/// are options of the runtime. Errors: kInvalidInput, naming what was expected.
Result<SystemRequest> parse_system_flag(std::string_view text);

/// Builds a request from its parts; `parts` has the keys of parse_system_flag(). An empty `url` means that this program
/// will start the server and choose the address then (runner/managed_server.h). Errors: kInvalidInput; kUnsupported for a
/// version of HTTP.
Result<SystemRequest> system_request_of(std::string_view name, std::string_view url,
                                        const std::vector<std::pair<std::string, std::string>>& parts);

/// Whether a server at `url` can be asked with the request's version of HTTP. Errors: kUnsupported.
Result<void> check_http(const SystemRequest& request, std::string_view url);

/// Turns `request` into the request for an adapter. Errors: kInvalidInput if its telemetry is that of another machine.
Result<void> add_adapter(SystemRequest& request, AdapterSystem adapter);

/// Adds one of the several models that the server holds: its name, or, if it has a server of its own, that server's
/// URL. Errors: as of system_request_of().
Result<void> add_served_model(SystemRequest& request, std::string_view bundle, std::string_view name_or_url);

/// The address of the server's metrics; empty: it has none, it is not to be asked, or the address is not known before
/// the server is started.
[[nodiscard]] std::string metrics_url(const SystemRequest& request);

/// Builds the request for an adapter from its parts. `start` is the command of an adapter that does not come with this
/// program; empty: `adapter` comes with it and is run by the program `python`. Errors: kInvalidInput.
Result<AdapterSystem> adapter_request_of(std::string_view adapter, std::string_view python,
                                         std::vector<std::string> start,
                                         std::vector<std::pair<std::string, std::string>> options);

}  // namespace secondsource
