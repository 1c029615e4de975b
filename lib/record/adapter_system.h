#pragma once
// What run.json records about a runtime that an adapter drives (docs/adapters.md): how it was started, and what it
// reports about itself.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"

namespace secondsource {

/// The form in which an adapter returns the tokens that its runtime generates.
enum class AdapterTokens : std::uint8_t { kIds, kText };
SS_ENUM_NAMES(AdapterTokens, "ids", "text")

/// What an adapter can return for each of a sequence of given ids.
enum class AdapterForced : std::uint8_t {
  kNone,
  kLogprob,  ///< the log-probability of the given id
  kBest,     ///< also the best id
  kLogits,   ///< also the log-probability of every id that it is asked for
};
SS_ENUM_NAMES(AdapterForced, "none", "logprob", "best", "logits")

struct AdapterSystem {
  std::string adapter;                                   ///< its name: that of a runtime, or of a program of the plan
  std::vector<std::string> start;                        ///< the command, with the program in front
  std::vector<std::pair<std::string, std::string>> env;  ///< added to its environment
  std::vector<std::pair<std::string, std::string>> options;  ///< that were asked for
  double start_deadline_s = 0;                               ///< an adapter that has not loaded its model by then hangs
  std::string runtime{};                                     ///< by the adapter's own words, as all below
  std::vector<std::pair<std::string, std::string>> versions{};
  std::vector<std::pair<std::string, std::string>> settings{};  ///< that it works with
  AdapterTokens tokens = AdapterTokens::kIds;
  AdapterForced forced = AdapterForced::kNone;
  std::int32_t max_in_flight = 0;  ///< requests that it works on at once; it queues the others
  std::string telemetry{};         ///< the GPUs whose sensors are read: "local", "local:ID+ID"; empty: none
  friend bool operator==(const AdapterSystem&, const AdapterSystem&) = default;
};
SS_FIELDS(AdapterSystem, adapter, start, env, options, start_deadline_s, runtime, versions, settings, tokens, forced,
          max_in_flight, telemetry)
SS_ADDED_FIELDS(AdapterSystem, telemetry)

}  // namespace secondsource
