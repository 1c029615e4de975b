#pragma once
// A scenario, which is one way of loading a system, and the key of the cell to which a number belongs.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/batching.h"
#include "core/enum_names.h"
#include "core/fields.h"
#include "record/schema_text.h"
#include "record/swap.h"

namespace secondsource {

enum class ScenarioKind : std::uint8_t { kSingleStream, kOffline, kServer, kSwap };
SS_ENUM_NAMES(ScenarioKind, "single-stream", "offline", "server", "swap")

/// How the gaps between arrivals of an open loop are distributed (measure/arrivals.h).
enum class ArrivalKind : std::uint8_t { kPoisson, kGamma, kConstant, kTrace };
SS_ENUM_NAMES(ArrivalKind, "poisson", "gamma", "constant", "trace")

/// The distribution of the pauses between an answer and the next question of a conversation
/// (measure/request_schedule.h).
enum class ThinkKind : std::uint8_t { kConstant, kExponential };
SS_ENUM_NAMES(ThinkKind, "constant", "exponential")

SS_SCHEMA_SAYS_STRING(Batching)
SS_SCHEMA_SAYS_STRING(ThinkKind)

/// One way of loading a system. Examples of name() are "single-stream", "offline-b16", "server-r2.5",
/// "server-r8+gamma=0.25", "server-slo-max", "offline-b16+static" and "swap-24MiB+zipf=1"; docs/scenarios.md lists all forms.
struct Scenario {
  ScenarioKind kind = ScenarioKind::kSingleStream;
  std::int32_t batch = 1;  ///< offline: requests in flight
  double rate_per_s = 0;   ///< server: average arrivals per second; 0 if the rate is searched for or recorded
  /// Measured requests of one repetition. With seeks_slo_rate 0: as many as arrive in the time that the search chooses.
  std::int32_t n_requests = 0;
  /// Nominal; 0 means the suite's own prompts. With a trace: upper limit on the length of its prompts.
  std::int32_t n_prompt_tokens = 0;
  std::int32_t n_output_tokens = 0;  ///< exact, since timed runs ignore the end of text. With a trace: the upper limit
  ArrivalKind arrivals = ArrivalKind::kPoisson;
  double burstiness = 1;             ///< kGamma: the shape; below 1 is burstier than Poisson, above 1 is more regular
  std::string trace{};               ///< kTrace: path of the recorded arrivals
  std::string trace_sha256{};        ///< SHA-256 of that file
  double trace_speed = 1;            ///< kTrace: how many times faster than recorded
  bool seeks_slo_rate = false;       ///< server: search for the highest rate that keeps the run's SLO
  std::int32_t n_shared_prefix = 0;  ///< leading prompt tokens that all requests share; 0 means none
  Batching batching = Batching::kContinuous;
  std::optional<SwapPlan> swap{};  ///< kSwap: the budget and the mix
  /// kTrace: recorded requests whose prompt and answer together would exceed this many tokens are left out; 0: none
  /// are.
  std::int32_t trace_context = 0;
  std::int32_t n_too_long = 0;    ///< kTrace: how many are not, of the first n_requests + n_too_long
  double cancel_share = 0;        ///< of the requests, which the client cancels; 0: none
  std::int32_t cancel_after = 0;  ///< output tokens after which it does
  /// Requests of one conversation: each repeats what was said before it and adds a question of n_prompt_tokens. Above 1, `batch`
  /// and `rate_per_s` count conversations. Request i is turn i % turns of conversation i / turns.
  std::int32_t turns = 1;
  double think_s = 0;  ///< of a conversation: from the end of an answer until the next question is due, on average
  ThinkKind think = ThinkKind::kConstant;
  [[nodiscard]] bool has_conversations() const { return turns > 1; }
  [[nodiscard]] std::string name() const;
};
SS_FIELDS(Scenario, kind, batch, rate_per_s, n_requests, n_prompt_tokens, n_output_tokens, arrivals, burstiness, trace,
          trace_sha256, trace_speed, seeks_slo_rate, n_shared_prefix, batching, swap, trace_context, n_too_long,
          cancel_share, cancel_after, turns, think_s, think)
SS_ADDED_FIELDS(Scenario, swap, trace_context, n_too_long, cancel_share, cancel_after, turns, think_s, think)

/// Why several clients cannot send this load together, so that their runs could be merged; empty if they can.
[[nodiscard]] std::string why_not_divided(const Scenario& scenario);

/// What the throughput of a cell says of the system.
enum class ThroughputBasis : std::uint8_t {
  kSaturation,  ///< a capacity: a closed loop keeps the system, or as many slots as it has requests, full
  kSloMax,      ///< a capacity: the highest rate of arrivals that kept the SLO and held
  /// Not a capacity but the load that was sent, which the system may have served with ease. Conversations with think
  /// times are such a load, however many users they have.
  kOfferedLoad,
};
SS_ENUM_NAMES(ThroughputBasis, "saturation", "slo-max", "offered load")
SS_SCHEMA_SAYS_STRING(ThroughputBasis)

[[nodiscard]] ThroughputBasis basis_of(const Scenario& scenario);

/// What a name that Scenario::name() gave says of the load, for basis_of() and has_conversations(); all else, and the
/// numbers of turns and seconds, are left out.
[[nodiscard]] Scenario load_of_name(std::string_view name);

/// The cell to which a number belongs. The gate adds the metric.
struct CellKey {
  std::string bundle;
  std::string backend;
  std::string variant;
  std::string scenario;                  ///< Scenario::name()
  [[nodiscard]] std::string id() const;  ///< "default/cpu/bf16/offline-b16"
  friend auto operator<=>(const CellKey&, const CellKey&) = default;
};
SS_FIELDS(CellKey, bundle, backend, variant, scenario)

}  // namespace secondsource
