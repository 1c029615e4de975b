#include "runner/run_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <span>
#include <thread>

#include "bundle/content.h"
#include "core/clock.h"
#include "core/enum_format.h"
#include "core/hash.h"
#include "core/nearest_word.h"
#include "core/staging.h"
#include "core/units.h"
#include "core/utf8.h"
#include "core/variant_name.h"
#include "fault/fault.h"
#include "measure/arrival_trace.h"
#include "record/ranges.h"
#include "runner/cell_estimate.h"
#include "runner/scenario_defaults.h"
#include "runner/scenario_text.h"
#include "serving/preset.h"
#include "systems/overhead.h"
#include "systems/request_mix.h"
#include "systems/system_job.h"
#include "systems/workload.h"

namespace secondsource {
namespace {

/// Names in a sentence; "none" if there are none.
std::string listed(const std::vector<std::string>& names) {
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

constexpr double kTraceSeconds = 10.0;
// For a larger model, one request takes minutes in the oracle's plain loops.
constexpr std::int64_t kOracleLargestModel = 20'000'000;
// For a larger model, even the few tokens that check a bundle without expected outputs take minutes.
constexpr std::int64_t kOracleLargestAnswered = 300'000'000;

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void add_once(std::string note, std::vector<std::string>& notes) {
  if (!contains(notes, note)) notes.push_back(std::move(note));
}

struct OpenedBundle {
  Bundle bundle;
  BundleRecord record;
};

Result<BundleRecord> record_of(const Bundle& bundle, const std::filesystem::path& path, Progress& progress,
                               const InterruptFlag& interrupt) {
  BundleRecord record;
  record.name = bundle.name();
  record.path = std::filesystem::absolute(path).lexically_normal().string();
  SS_TRY(record.content_sha256, check_content(bundle, progress, interrupt));
  if (bundle.manifest() != nullptr) {
    record.source_quantization = bundle.manifest()->source_quantization;
    const auto& variants = bundle.manifest()->variants;
    record.verified = std::any_of(variants.begin(), variants.end(),
                                  [](const ManifestVariant& one) { return one.expected.has_value(); });
  }
  for (const std::string& name : bundle.variants()) {
    const ManifestVariant* variant = bundle.manifest() == nullptr ? nullptr : bundle.manifest()->find_variant(name);
    record.variants.push_back(variant == nullptr
                                  ? VariantRecord{name, tier_without_quality(name), ""}
                                  : VariantRecord{name, variant->effective_tier(), variant->outside_limits()});
  }
  return record;
}

class Planner {
 public:
  Planner(const RunRequest& request, const ModuleSurvey& modules, const std::vector<ProbedSystem>& systems)
      : request_(request), modules_(modules), systems_(systems) {}

  Result<RunPlan> plan(const ProgramIdentity& identity, Progress& progress, const InterruptFlag& interrupt) {
    SS_TRY_VOID(describe_run(identity));
    SS_TRY_VOID(open_bundles(progress, interrupt));
    SS_TRY_VOID(choose_backends());
    set_price();
    SS_TRY_VOID(choose_scenarios());
    SS_TRY_VOID(check_client());
    SS_TRY_VOID(check_served_bundles());
    for (const OpenedBundle& opened : bundles_) SS_TRY_VOID(add_cells(opened));
    SS_TRY_VOID(note_shortened());
    SS_TRY_VOID(add_mix());
    note_other_scenarios();
    plan_.record.settings = settings_;
    if (plan_.record.cells.empty()) {
      return Error{ErrorCode::kUnavailable, fmt::format("nothing to run: {}", fmt::join(plan_.notes, "; "))};
    }
    return std::move(plan_);
  }

 private:
  Result<void> describe_run(const ProgramIdentity& identity) {
    RunRecord& record = plan_.record;
    record.run_id = random_digits();
    record.started_utc = utc_timestamp();
    record.command = identity.command;
    record.seed = request_.seed;
    record.client = request_.client;
    record.program_version = identity.version;
    record.commit = identity.commit;
    record.compiler = identity.compiler;
    record.build_type = identity.build_type;
    record.suite = request_.suite;
    record.slo = request_.slo;
    SS_TRY(record.host, host_facts(identity.file));
    SS_TRY(const HarnessCost cost, measure_harness_overhead());
    record.host.push_back({"harness_ns_per_request", fmt::format("{:.0f}", cost.ns_per_request), ""});
    record.host.push_back({"harness_ns_per_poll", fmt::format("{:.1f}", cost.ns_per_poll), ""});
    record.host.push_back({"harness_ns_per_token", fmt::format("{:.1f}", cost.ns_per_token), ""});
    settings_ = request_.settings;
    settings_.named_backends = request_.backends;
    for (const std::string& name : request_.required) {
      if (!contains(settings_.named_backends, name)) settings_.named_backends.push_back(name);
    }
    return {};
  }

  Result<void> open_bundles(Progress& progress, const InterruptFlag& interrupt) {
    if (request_.bundles.empty()) {
      return Error{ErrorCode::kInvalidInput, "run: expected a bundle, found none on the command line or in the plan"};
    }
    for (const std::filesystem::path& path : request_.bundles) {
      SS_TRY(Bundle bundle, Bundle::open(path, progress, interrupt));
      SS_TRY(BundleRecord record, record_of(bundle, path, progress, interrupt));
      for (const BundleRecord& other : plan_.record.bundles) {
        if (other.name != record.name) continue;
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("{}: a bundle named {} was given already, {}", record.path, record.name, other.path)};
      }
      const std::int64_t n_parameters = model_size(bundle.config()).n_parameters;
      if (!record.verified && n_parameters > kOracleLargestAnswered && !settings_.oracle.empty()) {
        plan_.notes.push_back(
            fmt::format("{}: its answers are not compared with those of {}, which is too slow for {} million "
                        "parameters",
                        record.name, settings_.oracle, n_parameters / 1'000'000));
        settings_.oracle.clear();
      }
      if (const Manifest* manifest = bundle.manifest(); manifest && !manifest->source_quantization.empty()) {
        plan_.notes.push_back(fmt::format("{}: quantized at its source: {}; {}", record.name,
                                          manifest->source_quantization, manifest->what_is_kept()));
      }
      plan_.record.bundles.push_back(record);
      bundles_.push_back({std::move(bundle), std::move(record)});
    }
    return {};
  }

  Result<void> name_backends_of_devices() {
    for (auto [backend, id] : request_.devices) {
      if (backend.empty() && settings_.named_backends.size() != 1) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("--device {}: expected --device BACKEND={}, or exactly one --backend, whose "
                                 "device it then is",
                                 id, id)};
      }
      devices_.emplace_back(backend.empty() ? settings_.named_backends.front() : backend, id);
    }
    return {};
  }

  Result<void> choose_backends() {
    SS_TRY_VOID(name_backends_of_devices());
    std::vector<std::string> wanted = settings_.named_backends;
    if (request_.backends.empty() && systems_.empty()) {
      for (const ProbedModule& module : modules_.probed) {
        if (!contains(wanted, module.name)) wanted.push_back(module.name);
      }
    }
    for (const std::string& name : wanted) {
      SS_TRY(BackendRecord record, backend_record(name));
      plan_.record.backends.push_back(std::move(record));
    }
    SS_TRY_VOID(add_systems());
    for (const auto& [name, id] : devices_) {
      if (contains(wanted, name)) continue;
      return Error{ErrorCode::kInvalidInput, fmt::format("--device {}={}: expected the device of one of this "
                                                         "run's backends, which are {}",
                                                         name, id, listed(wanted))};
    }
    for (const auto& [name, fault] : request_.faults) {
      if (contains(wanted, name)) continue;
      return Error{ErrorCode::kInvalidInput, fmt::format("--fault {}={}: expected a fault for one of this run's "
                                                         "backends, which are {}",
                                                         name, fault, listed(wanted))};
    }
    for (const BackendOption& option : request_.backend_options) {
      if (contains(wanted, option.backend)) continue;
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("--backend-option {}:{}={}: expected an option of one of this run's backends, "
                               "which are {}",
                               option.backend, option.key, option.value, listed(wanted))};
    }
    const auto& backends = plan_.record.backends;
    if (std::all_of(backends.begin(), backends.end(), [](const auto& one) { return !one.unavailable.empty(); })) {
      std::vector<std::string> reasons;
      for (const BackendRecord& one : backends) reasons.push_back(one.name + ": " + one.unavailable);
      return Error{ErrorCode::kUnavailable,
                   reasons.empty() ? "no backend module was found; set SECONDSOURCE_MODULES to the folder that "
                                     "the modules are in"
                                   : fmt::format("no backend is available: {}", fmt::join(reasons, "; "))};
    }
    return {};
  }

  /// A server or an adapter is recorded as a backend without a module. It was named, so its absence is a failure.
  Result<void> add_systems() {
    for (const ProbedSystem& system : systems_) {
      const SystemRequest& request = system.request;
      const auto& backends = plan_.record.backends;
      const bool is_module = std::ranges::find(modules_.found, request.name, &ModuleFile::name) != modules_.found.end();
      if (is_module || std::ranges::find(backends, request.name, &BackendRecord::name) != backends.end()) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("system {}: expected a name of its own, found that of another system or of a backend",
                                 request.name)};
      }
      BackendRecord record;
      record.name = request.name;
      record.unavailable = system.unavailable;
      record.device = system.adapter ? device_of(request.name, *system.adapter) : device_of(request, system.record);
      record.adapter = system.adapter;
      if (!system.adapter) record.served = system.record;
      record.device.is_host = false;
      set_units(request, record);
      settings_.named_backends.push_back(request.name);
      plan_.record.backends.push_back(std::move(record));
    }
    return {};
  }

  /// A system whose devices are not stated counts as the whole instance of a price book's row, and as one device of a
  /// price by the device; otherwise their number is not known.
  void set_units(const SystemRequest& request, BackendRecord& record) const {
    const double n_devices_of_price = request_.price ? request_.price->n_devices : 0;
    const bool is_per_device = request_.price && request_.price->is_per_device;
    record.n_units_used =
        request.n_devices ? static_cast<double>(*request.n_devices) : std::max(1.0, n_devices_of_price);
    record.are_units_unknown = !request.n_devices && n_devices_of_price == 0 && !is_per_device;
  }

  static DeviceInfo device_of(const SystemRequest& request, const ServedSystem& served) {
    return {
        .backend = request.name,
        .id = "",
        .name = fmt::format("{}, {}", facts_of(request.preset).title, served.model),
        .properties = {{"api", std::string(to_string(request.api))}, {"http", std::string(to_string(request.http))}}};
  }

  static DeviceInfo device_of(const std::string& name, const AdapterSystem& adapter) {
    return {.backend = name,
            .id = "",
            .name = fmt::format("{}, behind an adapter", adapter.runtime.empty() ? adapter.adapter : adapter.runtime),
            .properties = {{"tokens", std::string(to_string(adapter.tokens))},
                           {"forced", std::string(to_string(adapter.forced))}}};
  }

  /// The variants of a bundle that a backend runs: those of the run, or for a server the one that it serves.
  Result<std::vector<std::string>> variants_for(const BackendRecord& backend, const OpenedBundle& opened,
                                                const std::vector<std::string>& variants) {
    const auto system =
        std::ranges::find(systems_, backend.name, [](const ProbedSystem& one) { return one.request.name; });
    if (!backend.is_foreign() || system == systems_.end()) return variants;
    const SystemRequest& request = system->request;
    if (!request.models.empty()) return std::vector<std::string>();  // cells of all bundles together: add_mix()
    if (request.bundle.empty() && bundles_.size() > 1) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("system {}: expected bundle=NAME, the bundle that it serves, since the run has several",
                               request.name)};
    }
    if (!request.bundle.empty() && request.bundle != opened.record.name) return std::vector<std::string>();
    if (request.variant.empty()) return std::vector<std::string>{variants.front()};
    if (!contains(opened.bundle.variants(), request.variant)) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("system {}: variant: expected one of bundle {}: {}, found {}", request.name, opened.record.name,
                      fmt::join(opened.bundle.variants(), ", "), in_quotes(request.variant))};
    }
    return std::vector<std::string>{request.variant};
  }

  Result<void> check_served_bundles() const {
    for (const ProbedSystem& system : systems_) {
      for (const ServedModel& model : system.request.models) {
        if (std::ranges::find(bundles_, model.bundle, [](const OpenedBundle& one) { return one.record.name; }) !=
            bundles_.end()) {
          continue;
        }
        return Error{ErrorCode::kInvalidInput, fmt::format("system {}: models: expected bundles of this run, found {}",
                                                           system.request.name, in_quotes(model.bundle))};
      }
      const std::string& name = system.request.bundle;
      const auto is_named = [&](const OpenedBundle& opened) { return opened.record.name == name; };
      if (name.empty() || std::ranges::any_of(bundles_, is_named)) continue;
      return Error{ErrorCode::kInvalidInput, fmt::format("system {}: bundle: expected one of this run, found {}",
                                                         system.request.name, in_quotes(name))};
    }
    return {};
  }

  /// Why a server cannot run a scenario; empty if it can. A server's own batching cannot be changed.
  static std::string why_not_served(const Scenario& scenario) {
    if (scenario.batching == Batching::kContinuous) return "";
    return fmt::format("{} batching cannot be asked of a server", to_string(scenario.batching));
  }

  Result<BackendRecord> backend_record(const std::string& name) {
    BackendRecord record;
    record.name = name;
    const ProbedModule* const found = modules_.find(name);
    if (found == nullptr) {
      std::vector<std::string> known;
      for (const ModuleFile& module : modules_.found) known.push_back(module.name);
      record.unavailable = fmt::format("there is no backend of this name; this program has {}{}", listed(known),
                                       did_you_mean(name, known));
      return record;
    }
    record.unavailable = found->unavailable;
    SS_TRY(record.module_sha256, sha256_of_file(found->path));
    SS_TRY_VOID(choose_device(*found, record));
    const RunSettings& settings = request_.settings;
    if (settings.threads > 0) record.options.emplace_back("threads", std::to_string(settings.threads));
    if (!settings.cpus.empty()) record.options.emplace_back("cpus", format_cpu_list(settings.cpus));
    if (settings.strict) record.options.emplace_back("strict", "true");
    for (const auto& [backend, fault] : request_.faults) {
      if (backend != name) continue;
      SS_TRY_VOID(parse_fault(fault));
      record.options.emplace_back("fault", fault);
    }
    for (const BackendOption& option : request_.backend_options) {
      if (option.backend == name) record.options.emplace_back(option.key, option.value);
    }
    record.n_units_used = units_used(record.device);
    return record;
  }

  /// Chooses the first device, or the requested one, which is then added to the options with its environment.
  Result<void> choose_device(const ProbedModule& module, BackendRecord& record) {
    if (!module.devices.empty()) record.device = module.devices.front();
    for (const auto& [backend, id] : devices_) {
      if (backend != module.name || !module.unavailable.empty()) continue;
      const auto found = std::ranges::find(module.devices, id, &DeviceInfo::id);
      if (found == module.devices.end()) {
        std::vector<std::string> known;
        for (const DeviceInfo& device : module.devices) known.push_back(device.id);
        return Error{ErrorCode::kInvalidInput, fmt::format("--device {}={}: expected one of the devices of this "
                                                           "backend, whose ids are {}",
                                                           backend, id, fmt::join(known, ", "))};
      }
      record.device = *found;
      record.options.emplace_back("device", id);
    }
    for (const auto& [name, value] : record.device.environment) {
      record.options.emplace_back(std::string(kEnvironmentOption) + name, value);
    }
    return {};
  }

  void set_price() {
    if (!request_.price) return;
    plan_.record.price = request_.price->price;
    for (BackendRecord& backend : plan_.record.backends) {
      backend.price_share = charged_share(*request_.price, {.n = backend.n_units_used,
                                                            .is_host = backend.device.is_host,
                                                            .is_system = backend.is_foreign(),
                                                            .is_stated = !backend.are_units_unknown,
                                                            .n_host_cpus = n_host_cpus()});
    }
  }

  static double n_host_cpus() { return std::max(1U, std::thread::hardware_concurrency()); }

  /// Number of vCPUs for a backend on the host, of devices otherwise.
  [[nodiscard]] double units_used(const DeviceInfo& device) const {
    if (!device.is_host) return 1;
    const RunSettings& settings = request_.settings;
    const std::size_t n_cpus =
        settings.cpus.empty() ? std::max(1U, std::thread::hardware_concurrency()) : settings.cpus.size();
    return static_cast<double>(
        settings.threads > 0 ? std::min<std::size_t>(static_cast<std::size_t>(settings.threads), n_cpus) : n_cpus);
  }

  Result<void> choose_scenarios() {
    const std::vector<std::string> texts = request_.scenarios.empty()
                                               ? std::vector<std::string>{"single-stream", "offline:16", "server:8"}
                                               : request_.scenarios;
    std::set<std::string> names;
    for (const std::string& text : texts) {
      SS_TRY(const std::vector<Scenario> parsed, parse_scenario(text));
      for (Scenario scenario : parsed) {
        // A mix of models sends one request at a time, each with its own prompt, so batching does not apply.
        if (request_.batching && !scenario.swap) scenario.batching = *request_.batching;
        if (request_.n_shared_prefix > 0 && !scenario.swap) scenario.n_shared_prefix = request_.n_shared_prefix;
        SS_TRY_VOID(complete(scenario));
        if (!names.insert(scenario.name()).second) {
          return Error{ErrorCode::kInvalidInput,
                       fmt::format("scenario {}: expected it once, found it twice; one run can measure it with "
                                   "one length only",
                                   scenario.name())};
        }
        scenarios_.push_back(scenario);
      }
    }
    return {};
  }

  /// Checks that one of several clients only measures servers that already run, with loads that can be divided.
  Result<void> check_client() const {
    if (!request_.client) return {};
    for (const BackendRecord& backend : plan_.record.backends) {
      if (backend.served && !backend.served->managed) continue;
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("--client: expected only servers that run already (--system NAME=URL), found {}, {}",
                               backend.name,
                               backend.served    ? "which this run would start for itself"
                               : backend.adapter ? "behind an adapter on this machine"
                                                 : "which is a backend of this machine")};
    }
    for (const Scenario& scenario : scenarios_) {
      if (const std::string why = why_not_divided(scenario); !why.empty()) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("--client: scenario {}: expected offline:BATCH or server:RATE, found {}",
                                 scenario.name(), why)};
      }
    }
    return {};
  }

  /// Fills in what a scenario takes from other inputs: the run's SLO or a recorded load.
  Result<void> complete(Scenario& scenario) const {
    if (scenario.seeks_slo_rate && !request_.slo) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("scenario {}: expected an SLO to keep (--slo), found none", scenario.name())};
    }
    if (scenario.n_shared_prefix > 0 && scenario.n_prompt_tokens > 0 &&
        scenario.n_shared_prefix >= scenario.n_prompt_tokens) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("scenario {}: expected prompts longer than their shared prefix, found {} tokens",
                               scenario.name(), scenario.n_prompt_tokens)};
    }
    if (scenario.has_conversations() && scenario.n_shared_prefix > 0) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("scenario {}: expected conversations or a shared prefix, found both", scenario.name())};
    }
    if (scenario.swap) return complete_mix(scenario);
    if (scenario.arrivals != ArrivalKind::kTrace) return {};
    scenario.trace = std::filesystem::absolute(scenario.trace).lexically_normal().string();
    SS_TRY(const ArrivalTrace trace, read_arrival_trace(scenario.trace));
    SS_TRY(scenario.trace_sha256, sha256_of_file(scenario.trace));
    const auto n_entries = static_cast<std::int64_t>(trace.entries.size());
    if (scenario.n_requests > n_entries) {
      return Error{ErrorCode::kInvalidInput, fmt::format("scenario {}: expected {} requests in the trace, found {}",
                                                         scenario.name(), scenario.n_requests, n_entries)};
    }
    if (scenario.n_requests > 0) return {};
    const double until_ns = 1e9 * kTraceSeconds * scenario.trace_speed;
    const auto n_in_time = std::ranges::count_if(
        trace.entries, [&](const TraceEntry& entry) { return static_cast<double>(entry.at_ns) <= until_ns; });
    scenario.n_requests =
        static_cast<std::int32_t>(std::min<std::int64_t>(n_entries, std::max<std::int64_t>(8, n_in_time)));
    return {};
  }

  /// Fills in a mix, whose models are all bundles of the run.
  Result<void> complete_mix(Scenario& scenario) const {
    for (const OpenedBundle& opened : bundles_) scenario.swap->models.push_back(opened.record.name);
    const std::size_t n_models = bundles_.size();
    if (n_models < 2) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("scenario {}: expected several bundles, which take turns; found {}", scenario.name(),
                               fmt::join(scenario.swap->models, ", "))};
    }
    if (const std::size_t n_shares = scenario.swap->shares.size(); n_shares != 0 && n_shares != n_models) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("scenario {}: expected a share for each of {} bundles, found {}", scenario.name(),
                               n_models, n_shares)};
    }
    return {};
  }

  /// The variants of the run that every bundle has.
  Result<std::vector<std::string>> variants_of_mix() {
    std::vector<std::string> common;
    for (const OpenedBundle& opened : bundles_) {
      SS_TRY(const std::vector<std::string> variants, variants_of(opened.bundle));
      if (&opened == &bundles_.front()) common = variants;
      std::erase_if(common, [&](const std::string& one) { return !contains(variants, one); });
    }
    if (common.empty()) {
      return Error{ErrorCode::kInvalidInput, "scenario swap: expected a variant that all bundles have, found none"};
    }
    return common;
  }

  /// The bundles of a mix as one entry of the record, so that its cells are judged and compared like those of any
  /// bundle.
  BundleRecord record_of_mix(const std::vector<std::string>& variants) const {
    BundleRecord mix;
    std::string contents;
    mix.verified = true;
    for (const OpenedBundle& opened : bundles_) {
      mix.models.push_back(opened.record.name);
      contents += fmt::format("{} {}\n", opened.record.name, opened.record.content_sha256);
      mix.verified = mix.verified && opened.record.verified;
      if (opened.record.source_quantization.empty()) continue;
      mix.source_quantization += fmt::format("{}{}: {}", mix.source_quantization.empty() ? "" : "; ",
                                             opened.record.name, opened.record.source_quantization);
    }
    mix.name = fmt::format("{}", fmt::join(mix.models, "+"));
    mix.content_sha256 = sha256_hex(contents);
    for (const std::string& name : variants) {
      VariantRecord all;
      all.name = name;
      for (const OpenedBundle& opened : bundles_) {
        const auto one = std::ranges::find(opened.record.variants, name, &VariantRecord::name);
        if (one->tier != Tier::kBlessed) all.tier = one->tier;
        if (one->outside_limits.empty()) continue;
        all.outside_limits +=
            fmt::format("{}{}: {}", all.outside_limits.empty() ? "" : "; ", opened.record.name, one->outside_limits);
      }
      mix.variants.push_back(std::move(all));
    }
    return mix;
  }

  /// The cells of the scenario swap, in which all bundles take turns.
  Result<void> add_mix() {
    const auto is_swap = [](const Scenario& scenario) { return scenario.kind == ScenarioKind::kSwap; };
    if (std::ranges::none_of(scenarios_, is_swap)) return {};
    SS_TRY(const std::vector<std::string> variants, variants_of_mix());
    BundleRecord mix = record_of_mix(variants);
    bool has_prompts = true;
    const OpenedBundle* largest = &bundles_.front();
    const OpenedBundle* shortest = &bundles_.front();
    for (const OpenedBundle& opened : bundles_) {
      SS_TRY(const GoldenPrompts prompts, opened.bundle.prompts());
      has_prompts = has_prompts && !prompts.prompts.empty();
      const auto n_parameters = [](const OpenedBundle* one) { return model_size(one->bundle.config()).n_parameters; };
      if (n_parameters(&opened) > n_parameters(largest)) largest = &opened;
      if (opened.bundle.config().max_seq_len < shortest->bundle.config().max_seq_len) shortest = &opened;
    }
    for (const BackendRecord& backend : plan_.record.backends) {
      if (!backend.unavailable.empty()) continue;
      const bool is_oracle =
          backend.name == request_.settings.oracle && !contains(settings_.named_backends, backend.name);
      if (is_oracle) continue;
      SS_TRY(const std::vector<std::string> own_variants, variants_of_mix_for(backend, variants));
      for (const std::string& variant : own_variants) {
        for (const Scenario& asked : scenarios_) {
          if (!is_swap(asked)) continue;
          if (const std::string why = why_no_mix(backend, asked); !why.empty()) {
            plan_.notes.push_back(fmt::format("{}: {}: not run: {}", backend.name, asked.name(), why));
            continue;
          }
          PlannedCell cell;
          cell.scenario = with_defaults(asked, has_prompts, false, shortest->bundle.config());
          SS_TRY_VOID(fit_into_context(cell.scenario, shortest->record.name, shortest->bundle.config()));
          if (!backend.is_foreign()) SS_TRY_VOID(check_weights(cell.scenario, *largest, variant));
          SS_TRY_VOID(check_mix(cell.scenario));
          cell.key = {mix.name, backend.name, variant, cell.scenario.name()};
          cell.repetitions = request_.repetitions;
          const double seconds = estimate_seconds(cell, model_size(largest->bundle.config()), variant,
                                                  units_used(backend.device), false, 0);
          plan_.estimates.push_back(
              {cell.key.id(), 2 * seconds});  // each request is served twice: alone and in the mix
          plan_.record.cells.push_back(std::move(cell));
        }
      }
    }
    plan_.record.bundles.push_back(std::move(mix));
    return {};
  }

  /// The variants in which a backend serves a mix: those of the run, or for a server its only one.
  Result<std::vector<std::string>> variants_of_mix_for(const BackendRecord& backend,
                                                       const std::vector<std::string>& variants) const {
    if (!backend.is_foreign()) return variants;
    const auto system =
        std::ranges::find(systems_, backend.name, [](const ProbedSystem& one) { return one.request.name; });
    const std::string& asked = system == systems_.end() ? std::string() : system->request.variant;
    if (asked.empty()) return std::vector<std::string>{variants.front()};
    if (contains(variants, asked)) return std::vector<std::string>{asked};
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("system {}: variant: expected one that all bundles have: {}, found {}", backend.name,
                             fmt::join(variants, ", "), in_quotes(asked))};
  }

  /// Why a backend cannot take turns with the models of a mix under this budget; empty if it can.
  [[nodiscard]] static std::string why_no_mix(const BackendRecord& backend, const Scenario& scenario) {
    if (!backend.is_foreign()) return "";
    if (!backend.served || backend.served->models.empty()) return "it holds one model";
    const PresetFacts& facts = facts_of(backend.served->preset);
    if (scenario.swap->budget_models == 0 && !facts.tells_model_bytes) {
      return fmt::format("{} does not say what a model takes: give the budget as a number of models (swap:2models)",
                         facts.title);
    }
    if (backend.served->models.size() != scenario.swap->models.size()) {
      return fmt::format("it holds {} models, and the run has {} bundles", backend.served->models.size(),
                         scenario.swap->models.size());
    }
    return "";
  }

  /// Refuses a budget that cannot hold the weights of one model. What a model needs besides its weights is only known
  /// after it was loaded.
  static Result<void> check_weights(const Scenario& scenario, const OpenedBundle& largest, const std::string& variant) {
    const SwapPlan& swap = *scenario.swap;
    const double weights =
        static_cast<double>(model_size(largest.bundle.config()).n_parameters) * bytes_per_weight(variant);
    if (swap.budget_models == 0 && weights > static_cast<double>(swap.memory_budget_bytes)) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("scenario {}: expected a memory budget that holds the largest model: the weights of {} take "
                      "about {} in {}",
                      scenario.name(), largest.record.name, format_bytes(static_cast<std::int64_t>(weights)), variant)};
    }
    return {};
  }

  Result<void> check_mix(const Scenario& scenario) const {
    const SwapPlan& swap = *scenario.swap;
    const std::vector<std::int32_t> drawn = draw_models(mix_shares(swap), scenario.n_requests, request_.seed);
    for (std::size_t model = 0; model < swap.models.size(); ++model) {
      if (std::ranges::find(drawn, static_cast<std::int32_t>(model)) != drawn.end()) continue;
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("scenario {}: expected a request for every model: of {} requests none is for {}; ask for "
                      "more (+requests=COUNT)",
                      scenario.name(), scenario.n_requests, swap.models[model])};
    }
    return {};
  }

  /// Notes that a server with several models only has cells of the scenario swap.
  void note_other_scenarios() {
    for (const ProbedSystem& system : systems_) {
      if (system.request.models.empty() || !system.unavailable.empty()) continue;
      for (const Scenario& scenario : scenarios_) {
        if (scenario.kind == ScenarioKind::kSwap) continue;
        plan_.notes.push_back(
            fmt::format("{}: {}: not run: this server holds several models, which only the scenario swap "
                        "measures; bundle=NAME and model=NAME would measure one of them",
                        system.request.name, scenario.name()));
      }
    }
  }

  Result<std::vector<std::string>> variants_of(const Bundle& bundle) {
    if (request_.variants.empty()) return default_variants(bundle.variants());
    SS_TRY_VOID(bundle.check_has_variants(request_.variants));
    return request_.variants;
  }

  Result<void> add_cells(const OpenedBundle& opened) {
    SS_TRY(const std::vector<std::string> variants, variants_of(opened.bundle));
    SS_TRY(const GoldenPrompts prompts, opened.bundle.prompts());
    const bool has_prompts = !prompts.prompts.empty();
    const auto is_in_suite = [&](const GoldenPrompt& prompt) {
      return request_.suite == "all" || prompt.has_tag(request_.suite);
    };
    if (has_prompts && std::none_of(prompts.prompts.begin(), prompts.prompts.end(), is_in_suite)) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("bundle {}: suite {}: expected prompts with that tag, found none", opened.record.name,
                               in_quotes(request_.suite))};
    }
    // Reads them before a backend does: faulty expected outputs are bad input and not a failure of a backend.
    for (const std::string& variant : variants) SS_TRY_VOID(opened.bundle.expected(variant));
    const ModelSize size = model_size(opened.bundle.config());
    for (const BackendRecord& backend : plan_.record.backends) {
      if (!backend.unavailable.empty()) continue;
      const bool is_oracle = backend.name == request_.settings.oracle && request_.scenarios.empty();
      if (is_oracle && size.n_parameters > kOracleLargestModel && !contains(settings_.named_backends, backend.name)) {
        plan_.notes.push_back(fmt::format("{} is not timed on {}, since it is too slow for {} million parameters",
                                          backend.name, opened.record.name, size.n_parameters / 1'000'000));
        continue;
      }
      SS_TRY(const std::vector<std::string> own_variants, variants_for(backend, opened, variants));
      for (const std::string& variant : own_variants) {
        for (const Scenario& scenario : scenarios_) {
          if (is_oracle && scenario.kind != ScenarioKind::kSingleStream) continue;
          if (scenario.kind == ScenarioKind::kSwap) continue;  // cells of all bundles together: add_mix()
          if (const std::string why = backend.is_foreign() ? why_not_served(scenario) : ""; !why.empty()) {
            plan_.notes.push_back(fmt::format("{}: {}: not run: {}", backend.name, scenario.name(), why));
            continue;
          }
          PlannedCell cell;
          cell.scenario = with_defaults(scenario, has_prompts, is_oracle, opened.bundle.config());
          SS_TRY_VOID(fit_into_context(cell.scenario, opened.record.name, opened.bundle.config()));
          cell.key = {opened.record.name, backend.name, variant, cell.scenario.name()};
          cell.repetitions = is_oracle ? 1 : request_.repetitions;
          const bool is_slow = backend.name == request_.settings.oracle;
          plan_.estimates.push_back({cell.key.id(), estimate_seconds(cell, size, variant, units_used(backend.device),
                                                                     is_slow, request_.settings.cell_budget_s)});
          plan_.record.cells.push_back(std::move(cell));
        }
      }
    }
    return {};
  }

  /// Says how many requests of a trace are left out, and how many are sent shorter than they were recorded.
  Result<void> note_shortened() {
    std::vector<std::string> notes;
    for (const PlannedCell& cell : plan_.record.cells) {
      const Scenario& scenario = cell.scenario;
      if (scenario.arrivals != ArrivalKind::kTrace) continue;
      SS_TRY(const std::optional<ArrivalTrace> trace, trace_of(scenario));
      const auto n_sent = static_cast<std::size_t>(scenario.n_requests);
      if (scenario.n_too_long > 0) {
        add_once(
            fmt::format("{}: of {} recorded requests {} are longer than the context of {} tokens, and are not sent",
                        scenario.name(), scenario.n_requests + scenario.n_too_long, scenario.n_too_long,
                        scenario.trace_context + 1),
            notes);
      }
      std::int64_t n_prompts = 0, n_answers = 0;
      for (const TraceEntry& entry : std::span(trace->entries).first(n_sent)) {
        if (entry.n_prompt_tokens > scenario.n_prompt_tokens) ++n_prompts;
        if (entry.n_output_tokens > scenario.n_output_tokens) ++n_answers;
      }
      if (n_prompts == 0 && n_answers == 0) continue;
      std::string note = fmt::format(
          "{}: of {} recorded requests, prompts longer than {} tokens are shortened ({} of them), and answers "
          "longer than {} tokens ({}); @PROMPT/OUTPUT sets these limits",
          scenario.name(), n_sent, scenario.n_prompt_tokens, n_prompts, scenario.n_output_tokens, n_answers);
      add_once(std::move(note), notes);
    }
    for (std::string& note : notes) plan_.notes.push_back(std::move(note));
    return {};
  }

  const RunRequest& request_;
  const ModuleSurvey& modules_;
  const std::vector<ProbedSystem>& systems_;
  RunPlan plan_;
  RunSettings settings_;
  std::vector<std::pair<std::string, std::string>> devices_;  ///< as requested, each with its backend's name filled in
  std::vector<OpenedBundle> bundles_;
  std::vector<Scenario> scenarios_;
};

}  // namespace

std::vector<std::string> default_variants(const std::vector<std::string>& known) {
  std::vector<std::string> chosen;
  std::ranges::copy_if(known, std::back_inserter(chosen), is_published_variant);
  for (const char* name : {"bf16", "int8"}) {
    if (contains(known, name)) chosen.emplace_back(name);
  }
  return chosen.empty() ? known : chosen;
}

Result<RunPlan> make_run_plan(const RunRequest& request, const ProgramIdentity& identity, const ModuleSurvey& modules,
                              Progress& progress, const InterruptFlag& interrupt,
                              const std::vector<ProbedSystem>& systems) {
  return Planner(request, modules, systems).plan(identity, progress, interrupt);
}

}  // namespace secondsource
