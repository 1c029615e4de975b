#pragma once
// Opens backend modules in processes of their own. A module, or the driver behind it, may crash when it is opened, end
// the process or never return; then it is unavailable for that reason, and the program goes on.
//
//   const std::vector<ModuleFile> files = list_modules(module_folders(program));
//   SS_TRY(const ModuleSurvey survey, probe_modules(files, {"cpu"}, {.program = program}, interrupt));
//   SS_TRY(const ProbedModule* const cpu, survey.usable("cpu"));

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/module.h"
#include "core/fields.h"
#include "core/interrupt.h"
#include "core/result.h"

namespace secondsource {

/// Whether a backend supports an operation or an encoding of weights, and if not, why.
struct NamedSupport {
  std::string name;
  bool supported = false;
  std::string reason;
};
SS_FIELDS(NamedSupport, name, supported, reason)

/// What a module reported about itself, or why it did not.
struct ProbedModule {
  std::string name;
  std::filesystem::path path{};
  std::string description{};  ///< empty if the module could not be opened
  std::string unavailable{};  ///< the reason why no device can be used; empty if one can
  std::vector<DeviceInfo> devices{};
  // Both lists are about the module's first device. They are empty unless they were asked for.
  std::vector<NamedSupport> operations{};
  std::vector<NamedSupport> weights{};
  bool refuses_options = false;  ///< `unavailable` says what is wrong with ProbeOptions::backend_options
};

/// The modules that exist, and those of them that were opened.
struct ModuleSurvey {
  std::vector<ModuleFile> found;
  std::vector<ProbedModule> probed;

  [[nodiscard]] const ProbedModule* find(std::string_view name) const;
  /// The probed module with this name, which must have a usable device. Errors: kUnavailable.
  [[nodiscard]] Result<const ProbedModule*> usable(std::string_view name) const;
};

struct ProbeOptions {
  std::filesystem::path program;  ///< this executable, which is started as `worker --module`
  bool with_support = false;      ///< also create a backend and ask what it supports
  /// The options of that backend, as in BackendRecord::options.
  std::vector<std::pair<std::string, std::string>> backend_options{};
  std::int64_t deadline_ns = 30'000'000'000;  ///< for all modules together, since they are opened at the same time
};

/// Opens those of `files` that are named; all of them if no name is given. Errors: kIo when no process can be started;
/// kInterrupted.
Result<ModuleSurvey> probe_modules(std::vector<ModuleFile> files, const std::vector<std::string>& names,
                                   const ProbeOptions& options, const InterruptFlag& interrupt);

/// The child's side: opens the module in this process and writes what it says to standard output. Errors: kIo.
Result<void> serve_probe(const ModuleFile& file, bool with_support,
                         const std::vector<std::pair<std::string, std::string>>& backend_options);

}  // namespace secondsource
