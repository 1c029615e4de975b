#include "ab/under_test.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/utf8.h"
#include "serving/managed_start.h"

namespace secondsource {
namespace {

constexpr std::string_view kDigest = "sha256:";

bool is_image(std::string_view text) {
  return text.starts_with(kDigest) || text.find("@sha256:") != std::string_view::npos;
}

/// NAME=http..., NAME=https... or NAME=adapter:...
bool is_address(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string_view value = text.substr(equals + 1);
  return value.starts_with("http://") || value.starts_with("https://") || value.starts_with(kAdapterUrl);
}

UnderTestSystem of_kind(SystemRequest system) {
  const ArmKind kind = system.adapter ? ArmKind::kAdapter : system.managed ? ArmKind::kServer : ArmKind::kEndpoint;
  return {kind, std::move(system)};
}

/// The only system of the plan that is a container; null if there is none or more than one.
const SystemRequest* only_container(const std::vector<SystemRequest>& planned) {
  const SystemRequest* found = nullptr;
  for (const SystemRequest& system : planned) {
    if (!system.managed || system.managed->image.empty()) continue;
    if (found != nullptr) return nullptr;
    found = &system;
  }
  return found;
}

Result<UnderTestSystem> with_image(std::string_view image, const std::vector<SystemRequest>& planned,
                                   std::string_view template_name) {
  const auto named = std::ranges::find(planned, template_name, &SystemRequest::name);
  const SystemRequest* const pattern = named != planned.end() ? &*named : only_container(planned);
  if (pattern == nullptr || !pattern->managed || pattern->managed->image.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("image {}: expected a system of the plan with an image, which this one replaces: that of "
                             "the other side, or the only one",
                             in_quotes(image))};
  }
  SystemRequest system = *pattern;
  system.managed->image = image;
  const Result<void> checked = complete_managed_start(*system.managed, system.preset, !system.url.empty());
  if (!checked) return checked.error().with_context("system " + system.name);
  return of_kind(std::move(system));
}

}  // namespace

Result<std::optional<UnderTestSystem>> find_system_under_test(std::string_view text,
                                                              const std::vector<SystemRequest>& planned,
                                                              std::string_view template_name) {
  if (is_address(text)) {
    SS_TRY(SystemRequest system, parse_system_flag(text));
    return std::optional(of_kind(std::move(system)));
  }
  if (is_image(text)) {
    SS_TRY(UnderTestSystem found, with_image(text, planned, template_name));
    return std::optional(std::move(found));
  }
  const auto named = std::ranges::find(planned, text, &SystemRequest::name);
  if (named == planned.end()) return std::optional<UnderTestSystem>();
  return std::optional(of_kind(*named));
}

Error names_nothing(std::string_view text, const std::vector<SystemRequest>& planned) {
  std::vector<std::string> names;
  for (const SystemRequest& system : planned) names.push_back(system.name);
  return {ErrorCode::kInvalidInput,
          fmt::format("{}: expected a program, a system of the plan ({}), NAME=URL, NAME=adapter:RUNTIME or an image "
                      "with its digest; found none of them",
                      in_quotes(text), names.empty() ? "it has none" : fmt::format("{}", fmt::join(names, ", ")))};
}

}  // namespace secondsource
