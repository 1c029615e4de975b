#include "runner/scenario_text.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string>

namespace secondsource {
namespace {

constexpr std::int32_t kLargestBatch = 1024;
constexpr std::int32_t kLongest = 1 << 20;
constexpr double kFastestRate = 1e5;

template <typename T>
bool parse_number(std::string_view text, T& value) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

/// "P/O", either of them possibly empty.
bool parse_lengths(std::string_view text, Scenario& scenario) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view prompt = text.substr(0, slash);
  const std::string_view output = text.substr(slash + 1);
  if (!prompt.empty() && !parse_number(prompt, scenario.n_prompt_tokens)) return false;
  if (!output.empty() && !parse_number(output, scenario.n_output_tokens)) return false;
  const auto in_range = [](std::int32_t length) { return length >= 0 && length <= kLongest; };
  return in_range(scenario.n_prompt_tokens) && in_range(scenario.n_output_tokens);
}

/// The text after "offline:" or "offline-b"; nullopt when `text` begins with neither.
std::optional<std::string_view> argument_of(std::string_view text, std::string_view kind, char letter) {
  if (!text.starts_with(kind)) return std::nullopt;
  text.remove_prefix(kind.size());
  if (text.starts_with(":")) return text.substr(1);
  if (text.size() > 2 && text[0] == '-' && text[1] == letter) return text.substr(2);
  return std::nullopt;
}

}  // namespace

Result<std::vector<Scenario>> parse_scenario(std::string_view text) {
  const Error bad{ErrorCode::kInvalidInput,
                  fmt::format("scenario \"{}\": expected single-stream, offline, offline:BATCH or server:RATE, each "
                              "with @PROMPT/OUTPUT tokens behind it if wanted",
                              text)};
  Scenario scenario;
  const auto at = text.find('@');
  const std::string_view name = text.substr(0, at);
  if (at != std::string_view::npos && !parse_lengths(text.substr(at + 1), scenario)) return bad;
  if (name == "single-stream") return std::vector<Scenario>{scenario};
  if (name == "offline") {
    std::vector<Scenario> depths;
    for (const std::int32_t batch : {1, 4, 16, 64}) {
      scenario.kind = ScenarioKind::kOffline;
      scenario.batch = batch;
      depths.push_back(scenario);
    }
    return depths;
  }
  if (const auto batch = argument_of(name, "offline", 'b')) {
    scenario.kind = ScenarioKind::kOffline;
    if (!parse_number(*batch, scenario.batch) || scenario.batch < 1 || scenario.batch > kLargestBatch) return bad;
    return std::vector<Scenario>{scenario};
  }
  if (const auto rate = argument_of(name, "server", 'r')) {
    scenario.kind = ScenarioKind::kServer;
    if (!parse_number(*rate, scenario.rate_per_s) || !(scenario.rate_per_s > 0) || scenario.rate_per_s > kFastestRate) {
      return bad;
    }
    return std::vector<Scenario>{scenario};
  }
  return bad;
}

}  // namespace secondsource
