#pragma once
// Makes JSON as an earlier release of the program wrote it, by leaving out the members that came later.

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

namespace secondsource::test {

/// Removes the members with these names at every depth. Names that do not occur are ignored, so tests have to check that the
/// result differs.
inline std::string without_members(std::string_view json, const std::set<std::string>& names) {
  nlohmann::ordered_json tree = nlohmann::ordered_json::parse(json);
  const auto clean = [&](const auto& self, nlohmann::ordered_json& node) -> void {
    if (node.is_object()) {
      for (const std::string& name : names) node.erase(name);
    }
    if (!node.is_structured()) return;
    for (nlohmann::ordered_json& child : node) self(self, child);
  };
  clean(clean, tree);
  return tree.dump();
}

/// Members of a golden record that were added after the first release.
inline const std::set<std::string> kAddedToGolden = {"n_answers",    "n_answers_right", "n_reference_answers_right",
                                                     "n_streamed",   "level",           "n_repeated",
                                                     "n_same_twice", "n_same_in_batch"};

/// Members of a summary's cells, of their checks and of its golden records that were added after the first release.
inline std::set<std::string> added_to_summary() {
  std::set<std::string> names = {"tier",
                                 "outside_limits",
                                 "ttft_queue_p50_ns",
                                 "ttft_tokenize_p50_ns",
                                 "ttft_transfer_p50_ns",
                                 "ttft_prefill_p50_ns",
                                 "ttft_sample_p50_ns",
                                 "busy_vcpus",
                                 "telemetry",
                                 "tpot_mean_ns",
                                 "tpot_p90_ns",
                                 "tpot_p95_ns",
                                 "itl_mean_ns",
                                 "itl_p90_ns",
                                 "itl_p95_ns",
                                 "time_lost",
                                 "tpot_p50_ns_by_repetition",
                                 "throughput_basis",
                                 "lost",
                                 "golden_level",
                                 "swap",
                                 "late_send_share",
                                 "latest_send_ns",
                                 "n_cancelled",
                                 "freed_tok_per_s",
                                 "unwanted_tokens",
                                 "trace_context",
                                 "n_too_long",
                                 "cancel_share",
                                 "cancel_after",
                                 "turns",
                                 "think_s",
                                 "think",
                                 "conversation"};
  names.insert(kAddedToGolden.begin(), kAddedToGolden.end());
  return names;
}

}  // namespace secondsource::test
