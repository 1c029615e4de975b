#pragma once
// The backend modules that a command asks for, each opened in a process of its own (runner/module_probe.h).

#include <string>
#include <vector>

#include "command.h"
#include "runner/module_probe.h"

namespace secondsource {

/// The backend of plain loops, which the others are compared with and which is not timed unless it is asked for.
inline constexpr const char* kOracle = "reference";

/// Opens the modules with these names; all modules if there are no names. $SECONDSOURCE_PROBE_DEADLINE, "90s", replaces
/// the time that they have. Errors: those of probe_modules(); kInvalidInput for another value of the variable.
Result<ModuleSurvey> survey_modules(const std::vector<std::string>& names, const CommandContext& context,
                                    bool with_support = false);

/// The backend `wanted`, or the first one with a usable device that is no oracle. Errors: kUnavailable; those of
/// survey_modules().
Result<std::string> choose_backend(const std::string& wanted, const CommandContext& context);

}  // namespace secondsource
