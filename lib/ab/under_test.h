#pragma once
// What --base or --cand names: a program or a revision, or a system that serves tokens.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ab/ab_record.h"
#include "core/result.h"
#include "serving/endpoint.h"

namespace secondsource {

struct UnderTestSystem {
  ArmKind kind = ArmKind::kEndpoint;
  SystemRequest system{};
};

/// Finds the system that `text` names; nullopt if it names none and so is a program. In this order: NAME=URL and
/// NAME=adapter:RUNTIME as `run --system` takes them; an image with its digest, which replaces that of the system `template_name`, or of
/// the only one of the plan; the name of a system of the plan, where ./NAME is a program. Errors: kInvalidInput, for an
/// image without such a system too.
Result<std::optional<UnderTestSystem>> find_system_under_test(std::string_view text,
                                                              const std::vector<SystemRequest>& planned,
                                                              std::string_view template_name);

/// The refusal of a text that names nothing: what it could have named.
[[nodiscard]] Error names_nothing(std::string_view text, const std::vector<SystemRequest>& planned);

}  // namespace secondsource
