#pragma once
// The data of run.json, which describes a run and is written before its first measurement.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "core/fields.h"
#include "core/tier.h"
#include "cost/price.h"
#include "record/adapter_system.h"
#include "record/format_version.h"
#include "record/load_client.h"
#include "record/machine_limits.h"
#include "record/run_settings.h"
#include "record/scenario.h"
#include "record/schema_version.h"
#include "record/served_system.h"
#include "record/slo.h"

namespace secondsource {

SS_FIELDS(DeviceInfo, backend, id, name, properties, memory_bytes, page_tokens, is_host)

/// What the bundle states about one of its variants.
struct VariantRecord {
  std::string name;
  Tier tier = Tier::kBlessed;
  std::string outside_limits;  ///< the limits of its quality that it misses, with the figures; empty: none
};
SS_FIELDS(VariantRecord, name, tier, outside_limits)

struct BundleRecord {
  std::string name;
  std::string path;
  /// The SHA-256 of the manifest, all of whose hashes were found correct; for a plain folder, of the hashes of its
  /// files.
  std::string content_sha256;
  bool verified = false;  ///< the bundle has independent expected outputs
  std::vector<VariantRecord> variants{};
  /// In a run of `swap`, whose cells measure several bundles together: the names of the bundles that this record stands
  /// for. It then has no path, and content_sha256 is that of their lines "NAME CONTENT_SHA256\n".
  std::vector<std::string> models{};
  /// How the weights were quantized at their source, as the manifest states it: "Q4_1, F32 (GGUF)". Empty if they were
  /// not quantized, or if it is not known.
  std::string source_quantization{};
};
SS_FIELDS(BundleRecord, name, path, content_sha256, verified, variants, models, source_quantization)
SS_ADDED_FIELDS(BundleRecord, variants, models, source_quantization)

struct BackendRecord {
  std::string name;
  std::string module_sha256;
  DeviceInfo device;
  std::vector<std::pair<std::string, std::string>> options;  ///< threads, cpus, isa, fault, ...
  double n_units_used = 1;                                   ///< devices, or vCPUs of a CPU backend
  std::string unavailable;                                   ///< why the backend did not run; empty if it did
  /// Present for a system behind a URL, which has no module; `device` then describes the server.
  std::optional<ServedSystem> served{};
  /// Present for a runtime behind an adapter, which has no module either.
  std::optional<AdapterSystem> adapter{};
  /// The limits of the backend's device, if it is not the host and measures itself (backend/device_rates.h): the best
  /// and the second best looks of this run, like RunRecord::limits for the host.
  std::optional<MachineLimits> limits{};
  std::optional<MachineLimits> second_limits{};
  /// Nobody stated how many devices the system uses, and no price tells how many its machine has: n_units_used is 1, and
  /// the system counts as a whole machine.
  bool are_units_unknown = false;
  /// What the backend is charged of the run's price; absent without a price, and in runs of earlier versions.
  std::optional<PriceShare> price_share{};

  /// True for a system that is not one of our backends.
  [[nodiscard]] bool is_foreign() const { return served || adapter; }
};
SS_FIELDS(BackendRecord, name, module_sha256, device, options, n_units_used, unavailable, served, adapter, limits,
          second_limits, are_units_unknown, price_share)
SS_ADDED_FIELDS(BackendRecord, served, adapter, limits, second_limits, are_units_unknown, price_share)

/// Identifies the measured program of a backend: "module sha256 ..."; for a server, what it reports about itself and
/// its address; or an adapter and how it was started.
[[nodiscard]] std::string identity_text(const BackendRecord& backend);
/// "speculative decoding off (server), prefix cache on (plan), KV cache unknown".
[[nodiscard]] std::string features_text(const ServedFeatures& features);
/// The command line that starts a server, with its environment first and placeholders in braces left as they are.
[[nodiscard]] std::string start_text(const ManagedStart& managed);
/// The command line that starts an adapter, with its environment first.
[[nodiscard]] std::string start_text(const AdapterSystem& adapter);

/// One fact about the host. If it could not be read, `value` is empty and `why_not` gives the reason.
struct HostFact {
  std::string name;  ///< "cpu_model", "kernel", "governor", "load_1min", ...
  std::optional<std::string> value;
  std::string why_not;
};
SS_FIELDS(HostFact, name, value, why_not)

/// The value of a fact; nullopt if it is absent or could not be read.
[[nodiscard]] std::optional<std::string> fact(const std::vector<HostFact>& facts, std::string_view name);

/// A client whose run is part of a merged one.
struct MergedClient {
  std::int32_t client = 0;  ///< LoadClient::index
  std::string run_id;
  std::string started_utc;
  std::vector<std::string> command;
  std::vector<HostFact> host;
};
SS_FIELDS(MergedClient, client, run_id, started_utc, command, host)

struct PlannedCell {
  CellKey key;
  Scenario scenario;
  std::int32_t repetitions = 0;
};
SS_FIELDS(PlannedCell, key, scenario, repetitions)

/// The content of run.json: written before the first measurement, rewritten only by --resume (which appends to
/// `resumed_utc`).
struct RunRecord {
  SchemaVersion<kResultsSchemaVersion> schema_version{};
  int method_version = kMethodVersion;
  std::string run_id;  ///< random, 16 hexadecimal digits
  std::string started_utc;
  std::vector<std::string> resumed_utc;
  std::vector<std::string> command;
  std::uint64_t seed = 0;
  std::string program_version;
  std::string commit;
  std::string compiler;
  std::string build_type;
  std::vector<HostFact> host;
  std::vector<BundleRecord> bundles;
  std::vector<BackendRecord> backends;
  std::vector<PlannedCell> cells;
  std::optional<Price> price;
  std::optional<Slo> slo;                      ///< what goodput counts by
  std::optional<MachineLimits> limits;         ///< the best looks of any process on this host
  std::optional<MachineLimits> second_limits;  ///< the next best looks, by which a limit is known to be certain
  std::string suite;
  RunSettings settings;
  std::optional<LoadClient> client{};   ///< of a run that is one of several clients of its servers
  std::vector<MergedClient> clients{};  ///< of a merged run, in their order; else empty
};
SS_FIELDS(RunRecord, schema_version, method_version, run_id, started_utc, resumed_utc, command, seed, program_version,
          commit, compiler, build_type, host, bundles, backends, cells, price, slo, limits, second_limits, suite,
          settings, client, clients)
SS_ADDED_FIELDS(RunRecord, second_limits, client, clients)

/// The looks at the limits with which a backend's cells are compared: those of the machine for a backend that computes
/// on it, those of its own device for any other. nullopt if they were not measured, as for servers and adapters.
[[nodiscard]] std::optional<LimitLooks> limits_of(const RunRecord& record, const BackendRecord& backend);
/// The same for the backend of this name; nullopt also if there is none.
[[nodiscard]] std::optional<LimitLooks> limits_of(const RunRecord& record, std::string_view backend);

/// What the backend of this name is charged of the run's price; nullopt in a run without a price.
[[nodiscard]] std::optional<PriceShare> price_share_of(const RunRecord& record, std::string_view backend);

}  // namespace secondsource
