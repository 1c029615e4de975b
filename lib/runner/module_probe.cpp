#include "runner/module_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "backend/capabilities.h"
#include "core/child_process.h"
#include "core/clock.h"
#include "core/interrupt.h"
#include "core/units.h"
#include "record/json_codec.h"
#include "record/run_record.h"
#include "runner/line_pipe.h"
#include "systems/loaded_engine.h"
#include "systems/system_job.h"

namespace secondsource {
namespace {

// Time in which a process ends that has closed its pipe.
constexpr std::int64_t kEndNs = 2'000'000'000;

/// The fields of a DeviceInfo that run records do not contain.
struct DeviceRest {
  std::string kv_dtype;  ///< as safetensors names it
  std::vector<std::int32_t> token_buckets;
  std::vector<std::pair<std::string, std::string>> environment;
};
SS_FIELDS(DeviceRest, kv_dtype, token_buckets, environment)

/// The one line that the child writes.
struct ProbeAnswer {
  std::string description;
  std::string unavailable;
  std::vector<DeviceInfo> devices;
  std::vector<DeviceRest> rest_of_devices;
  std::vector<NamedSupport> operations;
  std::vector<NamedSupport> weights;
  bool refuses_options = false;
};
SS_FIELDS(ProbeAnswer, description, unavailable, devices, rest_of_devices, operations, weights, refuses_options)

/// A module that is being opened.
class Probe {
 public:
  static Result<Probe> start(const ModuleFile& file, const ProbeOptions& options, const InterruptFlag& interrupt) {
    ChildCommand command;
    command.program = options.program;
    command.arguments = {"worker", "--module", file.name, "--file", file.path.string()};
    if (options.with_support) command.arguments.emplace_back("--support");
    for (const auto& [key, value] : options.backend_options) {
      command.arguments.insert(command.arguments.end(), {"--option", fmt::format("{}={}", key, value)});
      if (!key.starts_with(kEnvironmentOption)) continue;
      command.environment.emplace_back(key.substr(kEnvironmentOption.size()), value);
    }
    SS_TRY(ChildProcess process, ChildProcess::start(command));
    return Probe(file, std::move(process), interrupt);
  }

  /// Waits for the answer until `spent_ns()` reaches the deadline; what has arrived by then is taken in any case.
  template <typename SpentNs>
  Result<ProbedModule> take(std::int64_t deadline_ns, const SpentNs& spent_ns) {
    ProbedModule module{.name = file_.name, .path = file_.path};
    do {
      SS_TRY_VOID(interrupt_.check());
      const auto line = process_.receive(now_ns() + kInterruptPeriodNs);
      if (line && *line) return understood(**line);
      if (line) continue;
      const std::optional<ChildExit> exit = process_.wait(now_ns() + kEndNs);
      module.unavailable = exit ? fmt::format("the process that opened it ended with {}", exit->text())
                                : "the process that opened it closed its pipe without an answer";
      return module;
    } while (spent_ns() < deadline_ns);
    module.unavailable =
        fmt::format("it was not open after {}; the process that opened it was killed", format_duration_ns(deadline_ns));
    return module;
  }

 private:
  Probe(ModuleFile file, ChildProcess process, const InterruptFlag& interrupt)
      : file_(std::move(file)),
        interrupt_(interrupt),
        process_(std::move(process)),
        paused_with_us_(interrupt, process_.group()) {}

  [[nodiscard]] ProbedModule understood(const std::string& line) const {
    ProbedModule module{.name = file_.name, .path = file_.path};
    Result<ProbeAnswer> read = json_codec::from_text<ProbeAnswer>(line, "its answer");
    if (read && read->devices.size() != read->rest_of_devices.size()) {
      read = Error{ErrorCode::kInternal, "its answer: expected as many of both halves of its devices"};
    }
    if (!read) {
      module.unavailable = read.error().message;
      return module;
    }
    ProbeAnswer answer = *std::move(read);
    for (std::size_t index = 0; index < answer.devices.size(); ++index) {
      DeviceRest& rest = answer.rest_of_devices[index];
      answer.devices[index].kv_dtype = dtype_from_safetensors(rest.kv_dtype).value_or(DType::kBf16);
      answer.devices[index].token_buckets = std::move(rest.token_buckets);
      answer.devices[index].environment = std::move(rest.environment);
    }
    module.description = std::move(answer.description);
    module.unavailable = std::move(answer.unavailable);
    module.devices = std::move(answer.devices);
    module.operations = std::move(answer.operations);
    module.weights = std::move(answer.weights);
    module.refuses_options = answer.refuses_options;
    return module;
  }

  ModuleFile file_;
  const InterruptFlag& interrupt_;
  ChildProcess process_;
  PausedWithUs paused_with_us_;
};

void add_support(const Module& module, const BackendOptions& options, ProbeAnswer& answer) {
  const auto backend = module.interface->create(options);
  if (!backend) {
    answer.unavailable = backend.error().message;
    answer.refuses_options = backend.error().code == ErrorCode::kInvalidInput;
    return;
  }
  const Capabilities capabilities = probe_capabilities(**backend);
  for (const auto& [operation, support] : capabilities.operations) {
    answer.operations.push_back({operation, support.supported, support.reason});
  }
  for (const auto& [encoding, act, support] : capabilities.weights) {
    answer.weights.push_back({weight_support_name(encoding, act), support.supported, support.reason});
  }
}

}  // namespace

const ProbedModule* ModuleSurvey::find(std::string_view name) const {
  const auto module = std::ranges::find(probed, name, &ProbedModule::name);
  return module == probed.end() ? nullptr : &*module;
}

Result<const ProbedModule*> ModuleSurvey::usable(std::string_view name) const {
  const ProbedModule* const module = find(name);
  if (module != nullptr && module->unavailable.empty()) return module;
  return unusable_backend(found, name, module == nullptr ? "" : module->unavailable);
}

Result<ModuleSurvey> probe_modules(std::vector<ModuleFile> files, const std::vector<std::string>& names,
                                   const ProbeOptions& options, const InterruptFlag& interrupt) {
  const std::int64_t started_ns = now_ns();
  const std::int64_t paused_ns = interrupt.paused_ns();
  const auto spent_ns = [&] { return now_ns() - started_ns - (interrupt.paused_ns() - paused_ns); };
  ModuleSurvey survey;
  std::vector<Probe> probes;
  for (const ModuleFile& file : files) {
    if (!names.empty() && std::ranges::find(names, file.name) == names.end()) continue;
    SS_TRY(Probe probe, Probe::start(file, options, interrupt));
    probes.push_back(std::move(probe));
  }
  for (Probe& probe : probes) {
    SS_TRY(ProbedModule module, probe.take(options.deadline_ns, spent_ns));
    survey.probed.push_back(std::move(module));
  }
  survey.found = std::move(files);
  return survey;
}

Result<void> serve_probe(const ModuleFile& file, bool with_support,
                         const std::vector<std::pair<std::string, std::string>>& backend_options) {
  SS_TRY(const BackendOptions options, backend_options_of(backend_options));
  LinePipe pipe;  // before any code of the module can print
  const Module module = open_module(file);
  ProbeAnswer answer;
  if (module.interface != nullptr) answer.description = module.interface->description;
  answer.unavailable = module.unavailable;
  for (const DeviceInfo& device : module.devices) {
    answer.devices.push_back(device);
    answer.rest_of_devices.push_back(
        {std::string(safetensors_name(device.kv_dtype)), device.token_buckets, device.environment});
  }
  if (with_support && answer.unavailable.empty()) add_support(module, options, answer);
  return pipe.send(json_codec::to_text(json_codec::to_tree(answer), -1));
}

}  // namespace secondsource
