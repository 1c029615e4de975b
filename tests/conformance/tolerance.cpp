#include "conformance/tolerance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "backend/op_access.h"
#include "backend/sampling.h"

namespace secondsource::conformance {
namespace {

/// Running mean of squares.
struct MeanSquare {
  double sum = 0.0;
  std::int64_t n = 0;
  void add(double value) {
    sum += value * value;
    ++n;
  }
  [[nodiscard]] double root() const { return n == 0 ? 0.0 : std::sqrt(sum / static_cast<double>(n)); }
};

/// Root mean squares of E - R by row, by column and over all.
struct Spread {
  std::vector<MeanSquare> rows;
  std::vector<MeanSquare> cols;
  MeanSquare all;

  Spread(std::span<const float> expected, std::span<const float> envelope, std::size_t n_cols)
      : rows(expected.size() / n_cols), cols(n_cols) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double difference = static_cast<double>(envelope[i]) - static_cast<double>(expected[i]);
      rows[i / n_cols].add(difference);
      cols[i % n_cols].add(difference);
      all.add(difference);
    }
  }
  [[nodiscard]] double at(std::size_t i, std::size_t n_cols) const {
    return std::max({rows[i / n_cols].root(), cols[i % n_cols].root(), all.root()});
  }
};

/// The name of the operation that wrote a value last.
std::string writer_of(const StepGraph& graph, std::size_t value) {
  std::string name = "unwritten";
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    for (const ValueId id : op_access(graph.ops[i]).writes) {
      if (static_cast<std::size_t>(index_of(id)) == value) name = op_label(graph, i);
    }
  }
  return name;
}

std::optional<std::string> compare_experts(std::span<const float> tested, std::span<const float> expected,
                                           std::span<const float> envelope) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    // Where the allowed rounding flips the choice, both are right.
    if (tested[i] != expected[i] && envelope[i] == expected[i]) {
      return fmt::format("entry {}: expected expert {}, found {}", i, expected[i], tested[i]);
    }
  }
  return std::nullopt;
}

/// The rule of sampling.h, applied to the backend's own logits: exact.
std::optional<std::string> compare_tokens(const Case& c, const StepTrace& step, const Action& action) {
  const StepGraph& graph = c.graphs[static_cast<std::size_t>(step.graph)];
  const auto found = std::ranges::find_if(graph.ops, [](const Op& op) { return std::holds_alternative<Sample>(op); });
  if (found == graph.ops.end()) return std::nullopt;
  const auto& sample = std::get<Sample>(*found);
  const auto vocab = static_cast<std::size_t>(graph.values[static_cast<std::size_t>(index_of(sample.logits))].cols);
  if (step.tokens.size() != action.batch.logit_rows.size()) {
    return fmt::format("expected {} sampled tokens, found {}", action.batch.logit_rows.size(), step.tokens.size());
  }
  if (!sample.keep_logits) return std::nullopt;
  for (std::size_t row = 0; row < step.tokens.size(); ++row) {
    const auto logits = std::span<const float>(step.logits).subspan(row * vocab, vocab);
    const SampledToken expected = sample_row(logits, action.batch.sampling[row], sample.n_top);
    const SampledToken& token = step.tokens[row];
    if (token.finite != expected.finite) {
      return fmt::format("logit row {}: expected finite = {}, found {}", row, expected.finite, token.finite);
    }
    if (!expected.finite) continue;
    if (token.id != expected.id) {
      return fmt::format("logit row {}: expected token {}, found {}", row, expected.id, token.id);
    }
    if (std::fabs(token.logprob - expected.logprob) > 1e-5F * (1.0F + std::fabs(expected.logprob))) {
      return fmt::format("logit row {}: expected log-probability {}, found {}", row, expected.logprob, token.logprob);
    }
    if (token.top.size() != expected.top.size()) {
      return fmt::format("logit row {}: expected {} best tokens, found {}", row, expected.top.size(), token.top.size());
    }
    for (std::size_t i = 0; i < token.top.size(); ++i) {
      if (token.top[i].id == expected.top[i].id) continue;
      return fmt::format("logit row {}: best token {}: expected {}, found {}", row, i, expected.top[i].id,
                         token.top[i].id);
    }
  }
  return std::nullopt;
}

/// The values of rows that are not padding.
std::span<const float> real_rows(const std::vector<float>& value, const ValueDesc& desc, const StepTrace& step) {
  if (desc.rows != Rows::kTokens) return value;
  const std::size_t n = static_cast<std::size_t>(step.n_real_tokens) * static_cast<std::size_t>(desc.cols);
  return std::span<const float>(value).first(std::min(n, value.size()));
}

std::optional<std::string> compare_step(const Case& c, const StepTrace& tested, const StepTrace& expected,
                                        const StepTrace& envelope, const Action& action) {
  const StepGraph& graph = c.graphs[static_cast<std::size_t>(tested.graph)];
  for (std::size_t v = 0; v < graph.values.size(); ++v) {
    const ValueDesc& desc = graph.values[v];
    if (expected.values[v].empty()) continue;
    const auto t = real_rows(tested.values[v], desc, tested);
    const auto r = real_rows(expected.values[v], desc, expected);
    const auto e = real_rows(envelope.values[v], desc, envelope);
    const auto finding = desc.dtype == DType::kI32 ? compare_experts(t, r, e) : compare_values(t, r, e, desc.cols);
    if (finding) return fmt::format("value {}, written by {}: {}", v, writer_of(graph, v), *finding);
  }
  if (auto finding = compare_tokens(c, tested, action)) return finding;
  if (!expected.logits.empty()) {
    const auto vocab = static_cast<std::int64_t>(expected.logits.size() / action.batch.logit_rows.size());
    if (auto finding = compare_values(tested.logits, expected.logits, envelope.logits, vocab)) {
      return "logits: " + *finding;
    }
  }
  return std::nullopt;
}

}  // namespace

double unit_roundoff(DType dtype) {
  switch (dtype) {
    case DType::kBf16:
      return 0x1p-8;
    case DType::kF16:
      return 0x1p-11;
    default:
      return kUnitRoundoffF32;
  }
}

std::optional<std::string> compare_values(std::span<const float> tested, std::span<const float> expected,
                                          std::span<const float> envelope, std::int64_t cols, bool zero_is_exact) {
  if (tested.size() != expected.size() || expected.size() != envelope.size()) {
    return fmt::format("expected {} values, found {}", expected.size(), tested.size());
  }
  if (expected.empty()) return std::nullopt;
  const auto n_cols = static_cast<std::size_t>(cols);
  const Spread spread(expected, envelope, n_cols);
  MeanSquare size;
  for (const float value : expected) size.add(static_cast<double>(value));

  const double relative_spread = size.root() > 0.0 ? spread.all.root() / size.root() : 0.0;

  MeanSquare errors;
  std::size_t n_outside = 0;
  std::size_t worst = 0;
  double worst_ratio = 0.0;
  double worst_bound = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto r = static_cast<double>(expected[i]);
    const auto t = static_cast<double>(tested[i]);
    if (std::isnan(r) || std::isinf(r)) {
      // A planted NaN: it must not turn into a number.
      if (std::isfinite(t)) return fmt::format("row {}, col {}: expected {}, found {}", i / n_cols, i % n_cols, r, t);
      continue;
    }
    const double error = std::fabs(t - r);
    double bound = kElementFactor * (std::fabs(static_cast<double>(envelope[i]) - r) +
                                     std::max(spread.at(i, n_cols), relative_spread * std::fabs(r))) +
                   kFloorUnits * kUnitRoundoffF32 * (std::fabs(r) + size.root());
    if (zero_is_exact && r == 0.0 && envelope[i] == 0.0F) bound = 0.0;
    if (std::isfinite(t)) errors.add(error);
    if (error <= bound) continue;  // false for NaN
    ++n_outside;
    const double ratio = std::isfinite(t) ? error / std::max(bound, 1e-30) : INFINITY;
    if (ratio >= worst_ratio) {
      worst = i;
      worst_ratio = ratio;
      worst_bound = bound;
    }
  }
  const double rms_limit = kRmsFactor * spread.all.root() + kFloorUnits * kUnitRoundoffF32 * size.root();
  if (n_outside > 0) {
    return fmt::format(
        "{} of {} elements outside; worst at row {}, col {}: expected {:.9g}, found {:.9g}, tolerance {:.3g}",
        n_outside, expected.size(), worst / n_cols, worst % n_cols, expected[worst], tested[worst], worst_bound);
  }
  if (errors.root() > rms_limit) {
    return fmt::format("every element is inside its tolerance, but the rms error is {:.3g}, expected at most {:.3g}",
                       errors.root(), rms_limit);
  }
  return std::nullopt;
}

std::optional<std::string> compare_traces(const Case& c, const CaseTrace& tested, const CaseTrace& expected,
                                          const CaseTrace& envelope) {
  std::size_t i = 0;
  for (const Action& action : c.actions) {
    if (action.graph < 0 || !action.compare) continue;
    if (auto finding = compare_step(c, tested.steps[i], expected.steps[i], envelope.steps[i], action)) {
      return fmt::format("step {}: {}", i, *finding);
    }
    ++i;
  }
  const std::int64_t width = std::int64_t{c.kv.n_kv_heads} * c.kv.head_dim;
  for (std::size_t half = 0; half < expected.cache.size(); ++half) {
    if (auto finding = compare_values(tested.cache[half], expected.cache[half], envelope.cache[half], width, true)) {
      return fmt::format("cache, layer {}, {} (row = slot): {}", half / 2, half % 2 == 0 ? "keys" : "values", *finding);
    }
  }
  return std::nullopt;
}

}  // namespace secondsource::conformance
