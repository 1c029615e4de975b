#pragma once
// The data of the scenario `swap`: several models take turns on one device under a memory budget. docs/scenarios.md defines
// every figure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"
#include "record/schema_text.h"

namespace secondsource {

/// Which model is evicted to make room for another.
enum class EvictionRule : std::uint8_t { kLeastRecentlyUsed };
SS_ENUM_NAMES(EvictionRule, "least recently used")
SS_SCHEMA_SAYS_STRING(EvictionRule)

/// What the scenario asks for: the budget and the mix of requests.
struct SwapPlan {
  std::int64_t memory_budget_bytes = 0;  ///< 0: the budget is a number of models
  EvictionRule eviction = EvictionRule::kLeastRecentlyUsed;
  /// Exponent of Zipf's law: model i (from 0) gets a share of the requests proportional to 1 / (i + 1)^zipf. 0: equal shares.
  double zipf = 0;
  std::vector<double> shares{};       ///< of the requests, in proportion; empty: those of `zipf`
  std::vector<std::string> models{};  ///< names of the bundles, in the order of the plan
  std::int32_t budget_models = 0;     ///< how many may be resident at once; 0: the budget is in bytes
};
SS_FIELDS(SwapPlan, memory_budget_bytes, eviction, zipf, shares, models, budget_models)
SS_ADDED_FIELDS(SwapPlan, budget_models)

/// The share of the requests that each model gets; they sum to 1.
[[nodiscard]] std::vector<double> mix_shares(const SwapPlan& plan);

/// "24MiB" or "2models", as the budget stands in a scenario's name; bytes without a unit where no unit divides them.
[[nodiscard]] std::string budget_text(const SwapPlan& plan);

/// Where the bytes of a model are when it is loaded.
enum class StartSource : std::uint8_t {
  kDisk,        ///< in files of which the page cache holds nothing
  kPageCache,   ///< in files that the page cache holds
  kHostMemory,  ///< in memory of the host, for a device that has memory of its own
};
SS_ENUM_NAMES(StartSource, "disk", "page cache", "host memory")
SS_SCHEMA_SAYS_STRING(StartSource)

/// One start of one model, outside of the timed mix.
struct ModelStart {
  std::string model;
  StartSource source = StartSource::kDisk;
  /// The share of the model's files that the page cache held when the load began, by mincore(2).
  std::optional<double> cached_share{};
  std::optional<std::int64_t> load_ns{};         ///< from the beginning of the load until requests are taken
  std::optional<std::int64_t> first_token_ns{};  ///< from the beginning of the load until the first token of a request
  std::string why_not{};                         ///< why there are no times
};
SS_FIELDS(ModelStart, model, source, cached_share, load_ns, first_token_ns, why_not)

/// What one model occupies, and what it does while it has the device to itself.
struct SwappedModel {
  std::string model;
  /// Weights, KV cache, workspace and runtime, after it has answered requests. Each size is absent if a server does not
  /// report it.
  std::optional<std::int64_t> resident_bytes{};
  std::optional<std::int64_t> weights_bytes{};
  std::optional<std::int64_t> kv_bytes{};
  std::optional<std::int64_t> file_bytes{};  ///< of its bundle, or of the files that a server reads
  std::int64_t alone_tokens = 0;             ///< output tokens of its requests of the mix, served without a swap
  std::int64_t alone_ns = 0;                 ///< the time of that
};
SS_FIELDS(SwappedModel, model, resident_bytes, weights_bytes, kv_bytes, file_bytes, alone_tokens, alone_ns)

enum class SwapAction : std::uint8_t { kLoad, kEviction };
SS_ENUM_NAMES(SwapAction, "load", "eviction")
SS_SCHEMA_SAYS_STRING(SwapAction)

/// A change of the resident set, made for a request before it is served.
struct SwapEvent {
  SwapAction action = SwapAction::kLoad;
  std::string model;
  std::int32_t request = 0;
  std::int64_t duration_ns = 0;
  std::optional<std::int64_t> resident_bytes{};  ///< of all resident models, afterwards
};
SS_FIELDS(SwapEvent, action, model, request, duration_ns, resident_bytes)

/// What a repetition of `swap` records besides its samples.
struct SwapRecord {
  std::vector<std::string> resident_at_start;  ///< the least recently used first
  std::optional<std::int64_t> resident_bytes_at_start{};
  std::vector<ModelStart> starts;
  std::vector<SwappedModel> models;  ///< in the order of the plan
  std::vector<SwapEvent> events;     ///< in their order
  std::string memory_why_not{};      ///< why sizes are absent; empty where none is
};
SS_FIELDS(SwapRecord, resident_at_start, resident_bytes_at_start, starts, models, events, memory_why_not)
SS_ADDED_FIELDS(SwapRecord, memory_why_not)

}  // namespace secondsource
