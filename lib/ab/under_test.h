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

/// Finds the system that `text` names; nullopt if it names none, so that `text` is a program. The forms are tried in
/// this order: NAME=URL and NAME=adapter:RUNTIME, as `run --system` takes them; an image with its digest, which
/// replaces the image of the system `template_name`, or else of the only container in the plan; the name of a system of
/// the plan (write ./NAME for a program of the same name). Errors: kInvalidInput, also for an image without a system
/// whose image it could replace.
Result<std::optional<UnderTestSystem>> find_system_under_test(std::string_view text,
                                                              const std::vector<SystemRequest>& planned,
                                                              std::string_view template_name);

/// The error for a text that names neither a program nor a system: lists what it could have named.
[[nodiscard]] Error names_nothing(std::string_view text, const std::vector<SystemRequest>& planned);

}  // namespace secondsource
