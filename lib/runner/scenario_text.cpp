#include "runner/scenario_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "core/number.h"
#include "core/utf8.h"
#include "record/ranges.h"
#include "runner/plan_file.h"

namespace secondsource {
namespace {

/// Parses "PROMPT/OUTPUT" lengths; either number may be missing.
bool parse_lengths(std::string_view text, Scenario& scenario) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view prompt = text.substr(0, slash);
  const std::string_view output = text.substr(slash + 1);
  if (!prompt.empty() && !read_number(prompt, scenario.n_prompt_tokens)) return false;
  if (!output.empty() && !read_number(output, scenario.n_output_tokens)) return false;
  const auto in_range = [](std::int32_t length) { return length == 0 || kTokensRange.contains(length); };
  return in_range(scenario.n_prompt_tokens) && in_range(scenario.n_output_tokens);
}

/// Returns the text after "offline:" or "offline-b" for the kind "offline" and the letter 'b'; nullopt when `text`
/// begins with neither.
std::optional<std::string_view> argument_of(std::string_view text, std::string_view kind, char letter) {
  if (!text.starts_with(kind)) return std::nullopt;
  text.remove_prefix(kind.size());
  if (text.starts_with(":")) return text.substr(1);
  if (text.size() > 2 && text[0] == '-' && text[1] == letter) return text.substr(2);
  return std::nullopt;
}

/// Parses "3:1" to {3, 1}.
bool parse_shares(std::string_view text, std::vector<double>& shares) {
  while (true) {
    const auto colon = text.find(':');
    double share = 0;
    if (!read_number(text.substr(0, colon), share) || !kLoadFactorRange.contains(share)) return false;
    shares.push_back(share);
    if (colon == std::string_view::npos) return true;
    text.remove_prefix(colon + 1);
  }
}

/// Parses "24MiB" or "2models".
bool parse_budget(std::string_view text, SwapPlan& swap) {
  for (const std::string_view unit : {"models", "model"}) {
    if (!text.ends_with(unit)) continue;
    return read_number(text.substr(0, text.size() - unit.size()), swap.budget_models) &&
           kBudgetModelsRange.contains(swap.budget_models);
  }
  const Result<std::int64_t> bytes = parse_bytes(text);
  if (bytes) swap.memory_budget_bytes = *bytes;
  return bytes.has_value();
}

/// Parses one of "zipf=1", "shares=3:1" and "requests=300".
bool parse_swap_modifier(std::string_view name, std::string_view value, Scenario& scenario) {
  SwapPlan& swap = *scenario.swap;
  if (name == "zipf") return read_number(value, swap.zipf) && kZipfRange.contains(swap.zipf);
  if (name == "shares") return parse_shares(value, swap.shares);
  return name == "requests" && read_number(value, scenario.n_requests) && kRequestsRange.contains(scenario.n_requests);
}

/// Parses "2.5" or "exp:2.5".
bool parse_think(std::string_view text, Scenario& scenario) {
  constexpr std::string_view kExponential = "exp:";
  if (text.starts_with(kExponential)) {
    scenario.think = ThinkKind::kExponential;
    text.remove_prefix(kExponential.size());
  }
  return read_number(text, scenario.think_s) && kThinkSecondsRange.contains(scenario.think_s);
}

/// What is wrong with the conversations of a scenario that was parsed so far as possible; empty if nothing is.
std::string bad_conversations(std::span<const std::string_view> modifiers, const Scenario& scenario) {
  const auto find = [&](std::string_view name) {
    return std::ranges::find_if(modifiers, [&](std::string_view one) { return one.starts_with(name); });
  };
  const auto turns = find("turns");
  const auto think = find("think");
  if (turns == modifiers.end() && think == modifiers.end()) return "";
  Scenario parsed;
  if (turns == modifiers.end()) return "expected +turns=COUNT beside +think: only a conversation has pauses";
  if (!turns->starts_with("turns=") || !read_number(turns->substr(6), parsed.turns) ||
      !kTurnsRange.contains(parsed.turns)) {
    return fmt::format("+{}: expected +turns=COUNT, {} to {} turns of a conversation", *turns, kTurnsRange.min,
                       kTurnsRange.max);
  }
  if (think != modifiers.end() && (!think->starts_with("think=") || !parse_think(think->substr(6), parsed))) {
    return fmt::format("+{}: expected +think=SECONDS or +think=exp:SECONDS, {} to {} s", *think, kThinkSecondsRange.min,
                       kThinkSecondsRange.max);
  }
  const bool is_single = scenario.kind == ScenarioKind::kSingleStream;
  if (is_single || scenario.swap || scenario.seeks_slo_rate || scenario.arrivals == ArrivalKind::kTrace) {
    return "expected +turns only with offline:USERS or server:CONVERSATIONS_PER_SECOND (offline:1 is one user)";
  }
  for (const std::string_view other : {"cancel", "prefix"}) {
    if (find(other) != modifiers.end()) return fmt::format("expected +turns or +{}, found both", other);
  }
  if (kTurnsRange.contains(scenario.turns) && scenario.n_requests % scenario.turns != 0) {
    return fmt::format("+requests={}: expected whole conversations, a multiple of {} requests", scenario.n_requests,
                       scenario.turns);
  }
  return "";
}

/// What a modifier decides: two that decide the same cannot stand side by side.
std::string_view subject_of(std::string_view modifier) {
  const std::string_view name = modifier.substr(0, modifier.find('='));
  if (name == "gamma" || name == "constant") return "arrivals";
  if (enum_from_name<Batching>(name)) return "batching";
  return name == "zipf" || name == "shares" ? "shares" : name;
}

/// Which modifiers of a scenario contradict or repeat each other; empty if none do.
std::string bad_pair(std::span<const std::string_view> modifiers) {
  for (std::size_t i = 0; i < modifiers.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (subject_of(modifiers[i]) != subject_of(modifiers[j])) continue;
      if (modifiers[i] == modifiers[j]) return fmt::format("expected +{} once, found it twice", modifiers[i]);
      return fmt::format("expected +{} or +{}, found both", modifiers[j], modifiers[i]);
    }
  }
  return "";
}

/// Parses one of "gamma=0.25", "constant", "speed=10", "prefix=512", "cancel=0.2:8", "turns=4", "think=exp:2",
/// "requests=300", "static" and "dynamic".
bool parse_modifier(std::string_view text, Scenario& scenario) {
  const bool is_open_loop = scenario.kind == ScenarioKind::kServer;
  const bool has_rate = is_open_loop && scenario.arrivals != ArrivalKind::kTrace;
  const auto equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  const std::string_view value = equals == std::string_view::npos ? "" : text.substr(equals + 1);
  if (scenario.swap) return parse_swap_modifier(name, value, scenario);
  if (name == "gamma" && has_rate) {
    scenario.arrivals = ArrivalKind::kGamma;
    return read_number(value, scenario.burstiness) && kLoadFactorRange.contains(scenario.burstiness);
  }
  if (text == "constant" && has_rate) {
    scenario.arrivals = ArrivalKind::kConstant;
    return true;
  }
  if (name == "speed" && scenario.arrivals == ArrivalKind::kTrace) {
    return read_number(value, scenario.trace_speed) && kLoadFactorRange.contains(scenario.trace_speed);
  }
  if (name == "prefix") {
    return read_number(value, scenario.n_shared_prefix) && kTokensRange.contains(scenario.n_shared_prefix);
  }
  if (name == "cancel" && !scenario.seeks_slo_rate) {
    const auto colon = value.find(':');
    return colon != std::string_view::npos && read_number(value.substr(0, colon), scenario.cancel_share) &&
           kCancelShareRange.contains(scenario.cancel_share) &&
           read_number(value.substr(colon + 1), scenario.cancel_after) && kTokensRange.contains(scenario.cancel_after);
  }
  if (name == "turns") return read_number(value, scenario.turns) && kTurnsRange.contains(scenario.turns);
  if (name == "think") return parse_think(value, scenario);
  if (name == "requests") {
    return read_number(value, scenario.n_requests) && kRequestsRange.contains(scenario.n_requests);
  }
  if (const auto batching = enum_from_name<Batching>(text)) {
    scenario.batching = *batching;
    return true;
  }
  return false;
}

/// Parses the part before the first modifier and the lengths.
bool parse_kind(std::string_view name, Scenario& scenario) {
  if (name == "single-stream") return true;
  if (const auto batch = argument_of(name, "offline", 'b')) {
    scenario.kind = ScenarioKind::kOffline;
    return read_number(*batch, scenario.batch) && kBatchRange.contains(scenario.batch);
  }
  if (name.starts_with("swap:") || name.starts_with("swap-")) {
    scenario.kind = ScenarioKind::kSwap;
    return parse_budget(name.substr(5), scenario.swap.emplace());
  }
  if (!name.starts_with("server")) return false;
  scenario.kind = ScenarioKind::kServer;
  if (name == "server:slo-max" || name == "server-slo-max") {
    scenario.seeks_slo_rate = true;
    return true;
  }
  constexpr std::string_view kTrace = "server:trace=";
  if (name.starts_with(kTrace)) {
    scenario.arrivals = ArrivalKind::kTrace;
    scenario.trace = name.substr(kTrace.size());
    return !scenario.trace.empty();
  }
  const auto rate = argument_of(name, "server", 'r');
  return rate && read_number(*rate, scenario.rate_per_s) && scenario.rate_per_s > 0 &&
         scenario.rate_per_s <= kFastestRatePerS;
}

}  // namespace

Result<std::vector<Scenario>> parse_scenario(std::string_view text) {
  const Error bad{
      ErrorCode::kInvalidInput,
      fmt::format(
          "scenario {}: expected single-stream, offline, offline:BATCH, server:RATE, "
          "server:slo-max, server:trace=FILE or swap:BUDGET, then modifiers such as +gamma=0.25, "
          "+constant, +speed=10, +prefix=512, +cancel=0.2:8, +turns=4, +think=2, +requests=300, +static, or for swap +zipf=1 or "
          "+shares=3:1, then @PROMPT/OUTPUT tokens if wanted",
          in_quotes(text))};
  Scenario scenario;
  auto at = text.rfind('@');
  // The path of a trace may contain an @ too.
  const bool is_of_path = at != std::string_view::npos && text.starts_with("server:trace=") &&
                          text.find_first_not_of("0123456789/", at + 1) != std::string_view::npos;
  if (is_of_path) at = std::string_view::npos;
  if (at != std::string_view::npos && !parse_lengths(text.substr(at + 1), scenario)) return bad;
  std::string_view rest = text.substr(0, at);
  std::vector<std::string_view> modifiers;
  const auto is_modifier = [&](std::size_t plus) {  // and not a plus sign in a folder's name
    return plus != std::string_view::npos && rest.find('/', plus) == std::string_view::npos;
  };
  for (auto plus = rest.rfind('+'); is_modifier(plus); plus = rest.rfind('+')) {
    modifiers.insert(modifiers.begin(), rest.substr(plus + 1));
    rest = rest.substr(0, plus);
  }
  const bool all_depths = rest == "offline";
  if (!parse_kind(all_depths ? "offline:1" : rest, scenario)) return bad;
  if (const std::string wrong = bad_pair(modifiers); !wrong.empty()) {
    return Error{ErrorCode::kInvalidInput, fmt::format("scenario {}: {}", in_quotes(text), wrong)};
  }
  bool all_parsed = true;
  for (const std::string_view modifier : modifiers) all_parsed = parse_modifier(modifier, scenario) && all_parsed;
  if (const std::string wrong = bad_conversations(modifiers, scenario); !wrong.empty()) {
    return Error{ErrorCode::kInvalidInput, fmt::format("scenario {}: {}", in_quotes(text), wrong)};
  }
  if (!all_parsed) return bad;
  if (!all_depths) return std::vector<Scenario>{scenario};
  std::vector<Scenario> depths;
  for (const std::int32_t batch : {1, 4, 16, 64}) {
    scenario.batch = batch;
    depths.push_back(scenario);
  }
  return depths;
}

}  // namespace secondsource
