#include "modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "golden/golden_pass.h"
#include "runner/plan_file.h"

namespace secondsource {
namespace {

constexpr const char* kDeadlineVariable = "SECONDSOURCE_PROBE_DEADLINE";

/// An oracle declares in its device properties that it is too slow for long prompts.
bool is_oracle(const ProbedModule& module) {
  const auto limits = [](const DeviceInfo& device) {
    return std::any_of(device.properties.begin(), device.properties.end(),
                       [](const auto& property) { return property.first == kGoldenLimitProperty; });
  };
  return std::any_of(module.devices.begin(), module.devices.end(), limits);
}

Result<ProbeOptions> probe_options(const CommandContext& context) {
  ProbeOptions options{.program = context.program};
  if (const char* const text = std::getenv(kDeadlineVariable)) {
    const Result<double> seconds = parse_seconds(text);
    if (!seconds) return seconds.error().with_context(kDeadlineVariable);
    options.deadline_ns = static_cast<std::int64_t>(1e9 * *seconds);
  }
  return options;
}

}  // namespace

Result<ModuleSurvey> survey_modules(const std::vector<std::string>& names, const CommandContext& context,
                                    bool with_support) {
  SS_TRY(ProbeOptions options, probe_options(context));
  options.with_support = with_support;
  return probe_modules(list_modules(module_folders(context.program)), names, options, context.interrupt);
}

Result<void> check_backend_options(const std::string& name,
                                   const std::vector<std::pair<std::string, std::string>>& options,
                                   const CommandContext& context) {
  SS_TRY(ProbeOptions probe, probe_options(context));
  probe.with_support = true;
  probe.backend_options = options;
  SS_TRY(const ModuleSurvey survey,
         probe_modules(list_modules(module_folders(context.program)), {name}, probe, context.interrupt));
  const ProbedModule* const module = survey.find(name);
  if (module == nullptr || !module->refuses_options) return {};
  return Error{ErrorCode::kInvalidInput, fmt::format("backend {}: {}", name, module->unavailable)};
}

Result<std::string> choose_backend(const std::string& wanted, const CommandContext& context) {
  if (!wanted.empty()) {
    SS_TRY(const ModuleSurvey survey, survey_modules({wanted}, context));
    SS_TRY([[maybe_unused]] const ProbedModule* const usable, survey.usable(wanted));
    return wanted;
  }
  SS_TRY(const ModuleSurvey survey, survey_modules({}, context));
  const ProbedModule* chosen = nullptr;
  for (const ProbedModule& module : survey.probed) {
    if (!module.unavailable.empty()) continue;
    if (chosen == nullptr || (is_oracle(*chosen) && !is_oracle(module))) chosen = &module;
  }
  if (chosen == nullptr) return Error{ErrorCode::kUnavailable, "no backend is available: see secondsource backends"};
  return chosen->name;
}

}  // namespace secondsource
