#include "report/records.h"

#include <fmt/format.h>

namespace secondsource {

std::string Scenario::name() const {
  switch (kind) {
    case ScenarioKind::kSingleStream:
      return "single-stream";
    case ScenarioKind::kOffline:
      return fmt::format("offline-b{}", batch);
    case ScenarioKind::kServer:
      return fmt::format("server-r{:g}", rate_per_s);
  }
  return "unknown";
}

std::string CellKey::id() const {
  return fmt::format("{}/{}/{}/{}", bundle, backend, variant, scenario);
}

std::optional<std::int64_t> RequestSample::ttft_e2e_ns() const {
  if (!first_token_ns) return std::nullopt;
  return *first_token_ns - scheduled_ns;
}

std::optional<std::int64_t> RequestSample::ttft_visible_ns() const {
  if (!first_visible_ns) return std::nullopt;
  return *first_visible_ns - scheduled_ns;
}

std::optional<std::int64_t> RequestSample::e2e_ns() const {
  if (!last_token_ns) return std::nullopt;
  return *last_token_ns - scheduled_ns;
}

std::optional<double> RequestSample::tpot_ns() const {
  if (!first_token_ns || !last_token_ns || n_output_tokens < 2) return std::nullopt;
  return static_cast<double>(*last_token_ns - *first_token_ns) / static_cast<double>(n_output_tokens - 1);
}

}  // namespace secondsource
