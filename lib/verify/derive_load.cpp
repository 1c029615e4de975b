#include "verify/derive_load.h"

#include <algorithm>

#include "verify/figures.h"

namespace secondsource::verify {
namespace {

constexpr std::int64_t kLateNs = 1'000'000;  // one millisecond, by docs/metrics.md

std::int64_t late_by(const Json& sample) {
  return whole(sample, "sent_ns") - whole(sample, "scheduled_ns");
}

void derive_sends(const std::vector<const Json*>& samples, Json& cell) {
  const auto n_late = std::ranges::count_if(samples, [](const Json* one) { return late_by(*one) > kLateNs; });
  std::int64_t latest = 0;
  for (const Json* one : samples) latest = std::max(latest, late_by(*one));
  cell["late_send_share"] = static_cast<double>(n_late) / static_cast<double>(samples.size());
  cell["latest_send_ns"] = latest;
}

void derive_cancelled(const std::vector<const Json*>& samples, const CellLines& lines, Json& cell) {
  cell["n_cancelled"] =
      std::ranges::count_if(samples, [](const Json* one) { return one->at("finish") == "cancelled"; });
  Values freed, unwanted;
  for (const RawLine* line : lines.repetitions) {
    const Json& end = line->tree;
    double asked = 0, arrived = 0, arrived_of_cancelled = 0;
    for (const Json* one : samples) {
      if (one->at("repetition") != end.at("repetition")) continue;
      const auto tokens = one->at("n_output_tokens").get<double>();
      arrived += tokens;
      if (one->at("finish") != "cancelled") continue;
      arrived_of_cancelled += tokens;
      asked += one->at("asked_tokens").get<double>();
    }
    const auto window = static_cast<double>(whole(end, "window_end_ns") - whole(end, "window_start_ns"));
    if (window > 0) freed.push_back(per_second(asked - arrived_of_cancelled, window));
    for (const Json& reading : end.at("telemetry")) {
      const bool is_count = reading.at("name") == "server_output_tokens_count" && !reading.at("value").is_null();
      if (is_count) unwanted.push_back(reading.at("value").get<double>() - arrived);
    }
  }
  cell["freed_tok_per_s"] = or_null(quantile(freed, 0.5));
  cell["unwanted_tokens"] = or_null(quantile(unwanted, 0.5));
}

}  // namespace

void derive_load(const std::vector<const Json*>& samples, const CellLines& lines, Json& cell) {
  for (const char* name : {"late_send_share", "latest_send_ns", "n_cancelled", "freed_tok_per_s", "unwanted_tokens"}) {
    cell[name] = nullptr;
  }
  const Json& scenario = cell["scenario"];
  if (samples.empty()) return;
  if (scenario.at("kind") == "server") derive_sends(samples, cell);
  if (scenario.value("cancel_share", 0.0) > 0) derive_cancelled(samples, lines, cell);
}

}  // namespace secondsource::verify
