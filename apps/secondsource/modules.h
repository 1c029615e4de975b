#pragma once
// The backend modules that a command asks for, each opened in a process of its own (runner/module_probe.h).

#include <string>
#include <utility>
#include <vector>

#include "command.h"
#include "runner/module_probe.h"

namespace secondsource {

/// The slow reference backend, with which the others are compared. It is not timed unless it is asked for.
inline constexpr const char* kOracle = "reference";

/// Opens the modules with these names; all modules if there are no names. $SECONDSOURCE_PROBE_DEADLINE, such as "90s",
/// replaces the time limit for opening one. Errors: those of probe_modules(); kInvalidInput for a bad value of the
/// variable.
Result<ModuleSurvey> survey_modules(const std::vector<std::string>& names, const CommandContext& context,
                                    bool with_support = false);

/// Also creates the module's backend with these options (BackendRecord::options). Errors: as above; kInvalidInput when
/// the backend refuses them.
Result<void> check_backend_options(const std::string& name,
                                   const std::vector<std::pair<std::string, std::string>>& options,
                                   const CommandContext& context);

/// Returns `wanted` if it is usable. If `wanted` is empty, returns the first usable backend; the reference only if
/// there is no other. Errors: kUnavailable; those of survey_modules().
Result<std::string> choose_backend(const std::string& wanted, const CommandContext& context);

}  // namespace secondsource
