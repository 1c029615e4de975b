#include "noise_limit.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

#include "core/number.h"
#include "core/utf8.h"
#include "record/ranges.h"

namespace secondsource {

Result<std::optional<double>> noise_limit_of_environment() {
  constexpr const char* kVariable = "SECONDSOURCE_NOISE_LIMIT";
  const char* const text = std::getenv(kVariable);
  if (text == nullptr) return std::optional<double>();
  const auto percent = parse_number<double>(text);
  if (percent && kNoisePercentRange.contains(*percent)) return std::optional<double>(*percent / 100);
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected percent from 0 to 100, found {}", kVariable, in_quotes(text))};
}

}  // namespace secondsource
