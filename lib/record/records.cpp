#include "record/records.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "core/enum_format.h"

namespace secondsource {

std::optional<std::string> fact(const std::vector<HostFact>& facts, std::string_view name) {
  for (const HostFact& candidate : facts) {
    if (candidate.name == name) return candidate.value;
  }
  return std::nullopt;
}

std::optional<LimitLooks> limits_of(const RunRecord& record, const BackendRecord& backend) {
  // Only what computes in the host's memory can be bound by it, whatever else was measured there.
  const std::optional<MachineLimits>& best = backend.device.is_host ? record.limits : backend.limits;
  const std::optional<MachineLimits>& second = backend.device.is_host ? record.second_limits : backend.second_limits;
  if (!best) return std::nullopt;
  return LimitLooks{.best = *best, .second = second.value_or(MachineLimits())};
}

std::optional<PriceShare> price_share_of(const RunRecord& record, std::string_view backend) {
  if (!record.price) return std::nullopt;
  const Price& price = *record.price;
  const auto found = std::ranges::find(record.backends, backend, &BackendRecord::name);
  if (found != record.backends.end() && found->price_share) return found->price_share;
  // In a run of an earlier version a price of a single unit covers everything that the run used.
  if (price.n_units <= 1) return PriceShare{.n_used = price.n_units_used, .n_of = price.n_units};
  return PriceShare{.n_used = found == record.backends.end() ? 1 : found->n_units_used,
                    .n_of = price.n_units,
                    .unit = PriceUnit::kUnit};
}

std::optional<LimitLooks> limits_of(const RunRecord& record, std::string_view backend) {
  const auto found = std::ranges::find(record.backends, backend, &BackendRecord::name);
  return found == record.backends.end() ? std::nullopt : limits_of(record, *found);
}

namespace {

std::string identity_text(const AdapterSystem& adapter) {
  std::string text = adapter.runtime.empty() ? adapter.adapter : adapter.runtime;
  text += " behind an adapter";
  for (const auto& [name, value] : adapter.versions) text += fmt::format("; {} {}", name, value);
  for (const auto& [name, value] : adapter.settings) text += fmt::format("; {} {}", name, value);
  return text + "; started as " + start_text(adapter);
}

}  // namespace

std::string identity_text(const BackendRecord& backend) {
  if (backend.adapter) return identity_text(*backend.adapter);
  if (!backend.served) return "module sha256 " + backend.module_sha256;
  const ServedSystem& served = *backend.served;
  std::string text = fmt::format("{} {} at {}, {} API, HTTP {}", served.preset,
                                 served.version.empty() ? "of an unknown version" : served.version, served.url,
                                 served.api, served.http);
  for (const auto& [name, value] : served.settings) text += fmt::format("; {} {}", name, value);
  if (served.features) text += "; " + features_text(*served.features);
  if (served.managed) text += "; started as " + start_text(*served.managed);
  return text;
}

std::string features_text(const ServedFeatures& features) {
  const auto part = [](std::string_view name, const FeatureSetting& setting) {
    if (setting.source == SettingSource::kUnknown) return fmt::format("{} unknown", name);
    return fmt::format("{} {} ({})", name, setting.value, setting.source);
  };
  return fmt::format("{}, {}, {}", part("speculative decoding", features.speculative),
                     part("prefix cache", features.prefix_cache), part("KV cache", features.kv_cache));
}

std::string start_text(const ManagedStart& managed) {
  std::string text;
  for (const auto& [name, value] : managed.env) text += fmt::format("{}={} ", name, value);
  if (!managed.image.empty()) {
    text += fmt::format("{} run {}{}{} ", managed.engine, fmt::join(managed.engine_options, " "),
                        managed.engine_options.empty() ? "" : " ", managed.image);
  }
  text += fmt::format("{}", fmt::join(managed.start, " "));
  if (!managed.image_id.empty()) text += fmt::format(" ({}, image {})", managed.engine_version, managed.image_id);
  return text;
}

std::string start_text(const AdapterSystem& adapter) {
  std::string text;
  for (const auto& [name, value] : adapter.env) text += fmt::format("{}={} ", name, value);
  return text + fmt::format("{}", fmt::join(adapter.start, " "));
}

StepWork& StepWork::operator+=(const StepWork& other) {
  n_steps += other.n_steps;
  tokens += other.tokens;
  ns += other.ns;
  flops += other.flops;
  weight_bytes += other.weight_bytes;
  kv_bytes += other.kv_bytes;
  return *this;
}

std::string Scenario::name() const {
  std::string name = "single-stream";
  if (kind == ScenarioKind::kOffline) name = fmt::format("offline-b{}", batch);
  if (kind == ScenarioKind::kServer) {
    name = fmt::format("server-r{:g}", rate_per_s);
    if (arrivals == ArrivalKind::kTrace) name = "server-trace=" + std::filesystem::path(trace).stem().string();
    if (seeks_slo_rate) name = "server-slo-max";
    if (arrivals == ArrivalKind::kGamma) name += fmt::format("+gamma={:g}", burstiness);
    if (arrivals == ArrivalKind::kConstant) name += "+constant";
    if (trace_speed != 1) name += fmt::format("+speed={:g}", trace_speed);
  }
  if (kind == ScenarioKind::kSwap && swap) {
    name = "swap-" + budget_text(*swap);
    if (!swap->shares.empty()) name += fmt::format("+shares={:g}", fmt::join(swap->shares, ":"));
    if (swap->zipf != 0) name += fmt::format("+zipf={:g}", swap->zipf);
  }
  if (n_shared_prefix > 0) name += fmt::format("+prefix={}", n_shared_prefix);
  if (has_conversations()) {
    name += fmt::format("+turns={}", turns);
    if (think_s > 0) name += fmt::format("+think={}{:g}", think == ThinkKind::kExponential ? "exp:" : "", think_s);
  }
  if (cancel_share > 0) name += fmt::format("+cancel={:g}:{}", cancel_share, cancel_after);
  if (batching != Batching::kContinuous) name += fmt::format("+{}", to_string(batching));
  return name;
}

std::string why_not_divided(const Scenario& scenario) {
  if (scenario.kind == ScenarioKind::kSingleStream) return "one request at a time, which needs no second client";
  if (scenario.kind == ScenarioKind::kSwap) return "models that take turns, which one client decides";
  if (scenario.seeks_slo_rate) return "a search for a rate, whose steps one client decides";
  if (scenario.arrivals == ArrivalKind::kTrace) return "recorded arrivals, which are not divided";
  return "";
}

ThroughputBasis basis_of(const Scenario& scenario) {
  const bool is_closed_loop = scenario.kind != ScenarioKind::kServer;
  if (is_closed_loop && scenario.has_conversations() && scenario.think_s > 0) return ThroughputBasis::kOfferedLoad;
  if (is_closed_loop) return ThroughputBasis::kSaturation;
  return scenario.seeks_slo_rate ? ThroughputBasis::kSloMax : ThroughputBasis::kOfferedLoad;
}

Scenario load_of_name(std::string_view name) {
  Scenario load;
  if (name.starts_with("offline-")) load.kind = ScenarioKind::kOffline;
  if (name.starts_with("server-")) load.kind = ScenarioKind::kServer;
  if (name.starts_with("swap-")) load.kind = ScenarioKind::kSwap;
  load.seeks_slo_rate = name.starts_with("server-slo-max");
  if (name.starts_with("server-trace=")) return load;  // of any file's name, and without conversations
  if (name.find("+turns=") != std::string_view::npos) load.turns = 2;
  if (name.find("+think=") != std::string_view::npos) load.think_s = 1;
  return load;
}

std::string CellKey::id() const {
  return fmt::format("{}/{}/{}/{}", bundle, backend, variant, scenario);
}

std::optional<std::int64_t> RequestSample::ttft_e2e_ns() const {
  if (!first_token_ns) return std::nullopt;
  return *first_token_ns - scheduled_ns - connect_ns.value_or(0);
}

std::optional<std::int64_t> RequestSample::ttft_sent_ns() const {
  if (!first_token_ns) return std::nullopt;
  return *first_token_ns - sent_ns - connect_ns.value_or(0);
}

std::optional<std::int64_t> RequestSample::ttft_visible_ns() const {
  if (!first_visible_ns) return std::nullopt;
  return *first_visible_ns - scheduled_ns - connect_ns.value_or(0);
}

std::optional<std::int64_t> RequestSample::e2e_ns() const {
  if (!last_token_ns || finish == RequestFinish::kCancelled) return std::nullopt;
  return *last_token_ns - scheduled_ns - connect_ns.value_or(0);
}

std::optional<double> RequestSample::tpot_ns() const {
  if (!first_token_ns || !last_token_ns || n_output_tokens < 2) return std::nullopt;
  return static_cast<double>(*last_token_ns - *first_token_ns) / static_cast<double>(n_output_tokens - 1);
}

std::string_view blind_spot(VerdictLevel level) {
  switch (level) {
    case VerdictLevel::kLogits:
      return "errors in the logits of other ids than the reference's best: the adapter gives log-probabilities "
             "for those alone";
    case VerdictLevel::kForced:
      return "how large an error is that changes no best id: the system does not give all logits";
    case VerdictLevel::kLogprob:
      return "which id the server would choose instead: the server gives the log-probability of the reference's "
             "id alone";
    case VerdictLevel::kGreedy:
      return "errors that change no id, nor anything after the first id that differs";
    case VerdictLevel::kText:
      return "ids: other tokens with the same text, anything after the first difference, and errors that change "
             "no text";
  }
  return "";
}

bool has_credit(const CellSummary& cell) {
  return cell.golden != GoldenVerdict::kFailed && cell.status != CellStatus::kInvalid;
}

std::string why_incomplete(const CellSummary& cell) {
  const auto is_verdict = [](const std::string& note) { return note.starts_with(kInvalidNote); };
  auto note = cell.notes.begin();
  if (cell.status == CellStatus::kInvalid) note = std::ranges::find_if(cell.notes, is_verdict);
  if (note != cell.notes.end()) return *note;
  return cell.status == CellStatus::kInvalid ? "INVALID" : std::string(to_string(cell.status));
}

}  // namespace secondsource
