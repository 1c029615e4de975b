#pragma once
// stories260K is a trained model of 260 thousand parameters. Its expected ids and logits are from a float64 forward
// pass in plain Python over the original file (assets/models/stories260K/expected_greedy.json).

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace secondsource::test {

struct StoriesCase {
  std::vector<std::int32_t> prompt_ids;
  std::vector<std::int32_t> greedy_ids;
  std::vector<double> top2_gaps;
  std::vector<std::pair<std::int32_t, double>> last_prompt_logits;
  double prompt_nll_sum = 0.0;
};

[[nodiscard]] std::vector<StoriesCase> read_stories_cases(const std::filesystem::path& path);

/// The tolerance of logits, and the gap between the two best logits below which an id is not compared.
struct StoriesTolerance {
  double logit = 0.0;
  double gap = 0.0;
};

/// With f32 weights and cache, the bounds are those of the file: 2e-3 for logits and 1e-3 for the gap. With BF16
/// weights, or BF16 inputs and cache, each of the five layers rounds with u = 2^-9. The logits are sums of 64 products,
/// up to 17 in total, so that the error is of the order 17 * 2^-9 * sqrt(5 * 4) = 0.15, and the error of a gap is up to
/// twice that.
[[nodiscard]] StoriesTolerance stories_tolerance(bool is_f32);

/// Generates `n_tokens` of the case (0: all) and compares them. Returns nullopt when they agree, otherwise the finding.
[[nodiscard]] std::optional<std::string> compare_with_stories(Engine& engine, const StoriesCase& one,
                                                              const StoriesTolerance& tolerance,
                                                              std::size_t n_tokens = 0);

/// Continues the case from a fork in the middle of a page. Returns nullopt when the ids are the expected ones and the
/// first logits are those of the same prompt without a fork.
[[nodiscard]] std::optional<std::string> compare_fork_with_stories(Engine& engine, const StoriesCase& one,
                                                                   const StoriesTolerance& tolerance);

}  // namespace secondsource::test
