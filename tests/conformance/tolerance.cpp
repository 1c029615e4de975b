#include "conformance/tolerance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "backend/op_access.h"
#include "backend_kit/sampling.h"

namespace secondsource::conformance {
namespace {

struct MeanSquare {
  double sum = 0.0;
  std::int64_t n = 0;
  void add(double square) {
    sum += square;
    ++n;
  }
  [[nodiscard]] double root() const { return n == 0 ? 0.0 : std::sqrt(sum / static_cast<double>(n)); }
};

/// Root mean squares of E - R: of each element over all draws; of these over each row, each column and all elements; and of
/// each draw. Only finite elements count, because one NaN would spoil the tolerance of its whole row and column. Without
/// draws, all of them are 0.
class Spread {
 public:
  Spread(Values expected, std::span<const Values> draws, std::size_t n_cols) {
    if (draws.empty()) return;
    std::vector<MeanSquare> of_draw(draws.size());
    std::vector<MeanSquare> cols(n_cols);
    MeanSquare all;
    own_.reserve(expected.size());
    rows_.reserve(expected.size() / n_cols);
    for (std::size_t first = 0; first < expected.size(); first += n_cols) {
      MeanSquare row;
      for (std::size_t col = 0; col < n_cols; ++col) {
        const std::size_t i = first + col;
        MeanSquare element;
        for (std::size_t d = 0; d < draws.size(); ++d) {
          const double difference = static_cast<double>(draws[d][i]) - static_cast<double>(expected[i]);
          if (!std::isfinite(difference)) continue;
          element.add(difference * difference);
          of_draw[d].add(difference * difference);
        }
        own_.push_back(element.root());
        if (element.n == 0) continue;
        const double square = element.sum / static_cast<double>(element.n);
        row.add(square);
        cols[col].add(square);
        all.add(square);
      }
      rows_.push_back(row.root());
    }
    for (const MeanSquare& col : cols) cols_.push_back(col.root());
    all_ = all.root();
    smallest_ = INFINITY;
    for (const MeanSquare& draw : of_draw) {
      smallest_ = std::min(smallest_, draw.root());
      largest_ = std::max(largest_, draw.root());
    }
  }
  /// `own` + `spread` of an element (tolerance.h), which kElementFactor multiplies.
  [[nodiscard]] double at(std::size_t row, std::size_t col) const {
    if (own_.empty()) return 0.0;
    return own_[row * cols_.size() + col] + std::max({rows_[row], cols_[col], all_});
  }
  /// `largest` * `largest` / `smallest` (tolerance.h), which kRmsFactor multiplies.
  [[nodiscard]] double whole() const { return largest_ > 0.0 ? largest_ * (largest_ / smallest_) : 0.0; }

 private:
  std::vector<double> own_;
  std::vector<double> rows_;
  std::vector<double> cols_;
  double all_ = 0.0;
  double smallest_ = 0.0;
  double largest_ = 0.0;
};

/// Returns the name of the operation that wrote a value last.
std::string writer_of(const StepGraph& graph, std::size_t value) {
  std::string name = "unwritten";
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    for (const ValueId id : op_access(graph.ops[i]).writes) {
      if (static_cast<std::size_t>(index_of(id)) == value) name = op_label(graph, i);
    }
  }
  return name;
}

std::optional<std::string> compare_experts(Values tested, Values expected, std::span<const Values> draws) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    // If an allowed rounding changes the choice, both experts are correct.
    const bool is_close = std::ranges::any_of(draws, [&](Values draw) { return draw[i] != expected[i]; });
    if (tested[i] != expected[i] && !is_close) {
      return fmt::format("entry {}: expected expert {}, found {}", i, expected[i], tested[i]);
    }
  }
  return std::nullopt;
}

/// Compares the tokens exactly with the rule of sampling.h applied to the backend's own logits.
std::optional<std::string> compare_tokens(const Case& c, const StepOutputs& step, const Action& action) {
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

/// Returns the values of all rows that are not padding.
Values real_rows(const std::vector<float>& value, const ValueDesc& desc, const StepOutputs& step) {
  if (desc.rows != Rows::kTokens) return value;
  const std::size_t n = static_cast<std::size_t>(step.n_real_tokens) * static_cast<std::size_t>(desc.cols);
  return Values(value).first(std::min(n, value.size()));
}

/// Returns get(draw) for each draw.
template <typename Get>
std::vector<Values> of_each(std::span<const CaseOutputs> draws, const Get& get) {
  std::vector<Values> values;
  for (const CaseOutputs& draw : draws) values.push_back(get(draw));
  return values;
}

/// Compares step `at` of the traces.
std::optional<std::string> compare_step(const Case& c, std::size_t at, const StepOutputs& tested,
                                        const StepOutputs& expected, std::span<const CaseOutputs> draws,
                                        const Action& action) {
  const StepGraph& graph = c.graphs[static_cast<std::size_t>(tested.graph)];
  for (std::size_t v = 0; v < graph.values.size(); ++v) {
    const ValueDesc& desc = graph.values[v];
    if (expected.values[v].empty()) continue;
    const auto rows_of = [&](const StepOutputs& step) { return real_rows(step.values[v], desc, step); };
    const auto drawn = of_each(draws, [&](const CaseOutputs& draw) { return rows_of(draw.steps[at]); });
    const auto finding = desc.dtype == DType::kI32
                             ? compare_experts(rows_of(tested), rows_of(expected), drawn)
                             : compare_values(rows_of(tested), rows_of(expected), drawn, desc.cols);
    if (finding) return fmt::format("value {}, written by {}: {}", v, writer_of(graph, v), *finding);
  }
  if (auto finding = compare_tokens(c, tested, action)) return finding;
  if (!expected.logits.empty()) {
    const auto vocab = static_cast<std::int64_t>(expected.logits.size() / action.batch.logit_rows.size());
    const auto drawn = of_each(draws, [&](const CaseOutputs& draw) { return Values(draw.steps[at].logits); });
    if (auto finding = compare_values(tested.logits, expected.logits, drawn, vocab)) return "logits: " + *finding;
  }
  return std::nullopt;
}

/// For each row, whether it contains only zeros in `expected` and in all draws.
std::vector<bool> zero_rows(Values expected, std::span<const Values> draws, std::size_t n_cols) {
  std::vector<bool> rows(expected.size() / n_cols);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto is_zero = [&](Values values) {
      return std::ranges::all_of(values.subspan(row * n_cols, n_cols), [](float value) { return value == 0.0F; });
    };
    rows[row] = is_zero(expected) && std::ranges::all_of(draws, is_zero);
  }
  return rows;
}

/// The error that f32 arithmetic alone may cause in an element r of values whose root mean square is `size`.
double floor_of(double r, double size) {
  return kFloorUnits * kUnitRoundoffF32 * (std::fabs(r) + size);
}

/// If all values of a row are finite and within the floor, adds the row's squared errors to `errors` and returns true.
bool add_if_within_floor(Values tested, Values expected, double size, MeanSquare& errors) {
  double sum = 0.0;
  bool is_within = true;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto r = static_cast<double>(expected[i]);
    const double error = std::fabs(static_cast<double>(tested[i]) - r);
    is_within &= error <= floor_of(r, size);  // false if either is NaN or both are the same infinity
    sum += error * error;
  }
  is_within &= std::isfinite(sum);  // for an infinite r the floor is infinite, so the comparison above does not suffice
  if (!is_within) return false;
  errors.sum += sum;
  errors.n += static_cast<std::int64_t>(expected.size());
  return true;
}

/// Checks |T - R| <= u |R| + floor, with u of BF16. The floor is that of the whole row, since the terms of a rotation
/// may be larger than its result.
std::optional<std::string> compare_rounded_once(Values tested, Values expected, std::size_t n_cols) {
  for (std::size_t row = 0; row * n_cols < expected.size(); ++row) {
    MeanSquare squares;
    for (const float value : expected.subspan(row * n_cols, n_cols)) {
      squares.add(static_cast<double>(value) * static_cast<double>(value));
    }
    for (std::size_t i = row * n_cols; i < (row + 1) * n_cols; ++i) {
      const auto r = static_cast<double>(expected[i]);
      const double bound =
          unit_roundoff(DType::kBf16) * std::fabs(r) + kFloorUnits * kUnitRoundoffF32 * (std::fabs(r) + squares.root());
      if (!std::isfinite(bound) || std::fabs(static_cast<double>(tested[i]) - r) <= bound) continue;
      return fmt::format("outside one rounding at row {}, col {}: expected {:.9g}, found {:.9g}, tolerance {:.3g}", row,
                         i - row * n_cols, r, tested[i], bound);
    }
  }
  return std::nullopt;
}

/// Compares the quantized integers of R and T. Near a tie, the last bits of an input decide between two integers. With f32
/// inputs, about one in a few thousand elements is that near to a tie.
std::optional<std::string> compare_integers(Values tested, Values expected, std::size_t head_dim) {
  std::size_t n_apart = 0;
  for (std::size_t row = 0; row * head_dim < expected.size(); ++row) {
    double largest = 0.0;
    for (const float value : expected.subspan(row * head_dim, head_dim)) {
      largest = std::max(largest, std::fabs(static_cast<double>(value)));
    }
    const double floor = kFloorUnits * kUnitRoundoffF32 * largest;
    for (std::size_t i = row * head_dim; i < (row + 1) * head_dim; ++i) {
      const double error = std::fabs(static_cast<double>(tested[i]) - static_cast<double>(expected[i]));
      if (!(error > floor)) continue;
      ++n_apart;
      if (error <= largest / 127.0 + floor) continue;
      return fmt::format("more than a quantum off at row {}, col {}: expected {:.9g}, found {:.9g}, quantum {:.3g}",
                         row, i - row * head_dim, expected[i], tested[i], largest / 127.0);
    }
  }
  if (n_apart > 1 + expected.size() / 500) {
    return fmt::format("{} of {} elements are a quantum off", n_apart, expected.size());
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

std::optional<std::string> compare_values(Values tested, Values expected, std::span<const Values> draws,
                                          std::int64_t cols, bool zero_rows_are_exact) {
  if (tested.size() != expected.size()) {
    return fmt::format("expected {} values, found {}", expected.size(), tested.size());
  }
  if (expected.empty()) return std::nullopt;
  const auto n_cols = static_cast<std::size_t>(cols);
  std::optional<Spread> spread;
  const auto spread_of_draws = [&]() -> const Spread& {
    if (!spread) spread.emplace(expected, draws, n_cols);
    return *spread;
  };
  MeanSquare squares;
  for (const float value : expected) {
    if (std::isfinite(value)) squares.add(static_cast<double>(value) * static_cast<double>(value));
  }
  const double size = squares.root();
  std::vector<bool> exact_rows;
  if (zero_rows_are_exact) exact_rows = zero_rows(expected, draws, n_cols);

  MeanSquare errors;
  std::size_t n_outside = 0;
  std::size_t worst = 0;
  double worst_ratio = 0.0;
  double worst_bound = 0.0;
  for (std::size_t row = 0; row * n_cols < expected.size(); ++row) {
    const bool is_exact = zero_rows_are_exact && exact_rows[row];
    // Most rows are within the floor everywhere. They are checked first, by a loop without a branch for each element.
    if (!is_exact && add_if_within_floor(tested.subspan(row * n_cols, n_cols), expected.subspan(row * n_cols, n_cols),
                                         size, errors)) {
      continue;
    }
    for (std::size_t col = 0; col < n_cols; ++col) {
      const std::size_t i = row * n_cols + col;
      const auto r = static_cast<double>(expected[i]);
      const auto t = static_cast<double>(tested[i]);
      if (std::isfinite(r) != std::isfinite(t)) {
        return fmt::format("row {}, col {}: expected {}, found {}", row, col, r, t);
      }
      if (!std::isfinite(r)) continue;
      const double error = std::fabs(t - r);
      errors.add(error * error);
      // For most elements the floor suffices. If it suffices for all of them, the draws are not needed.
      double bound = is_exact ? 0.0 : floor_of(r, size);
      if (error <= bound) continue;
      if (!is_exact) bound += kElementFactor * spread_of_draws().at(row, col);
      if (error <= bound) continue;
      ++n_outside;
      const double ratio = error / std::max(bound, 1e-30);
      if (ratio > worst_ratio) {
        worst = i;
        worst_ratio = ratio;
        worst_bound = bound;
      }
    }
  }
  if (n_outside > 0) {
    return fmt::format(
        "{} of {} elements outside; worst at row {}, col {}: expected {:.9g}, found {:.9g}, tolerance {:.3g}",
        n_outside, expected.size(), worst / n_cols, worst % n_cols, expected[worst], tested[worst], worst_bound);
  }
  double rms_limit = kFloorUnits * kUnitRoundoffF32 * size;
  if (errors.root() > rms_limit) rms_limit += kRmsFactor * spread_of_draws().whole();
  if (errors.root() > rms_limit) {
    return fmt::format("every element is inside its tolerance, but the rms error is {:.3g}, expected at most {:.3g}",
                       errors.root(), rms_limit);
  }
  return std::nullopt;
}

std::optional<std::string> compare_outputs(const Case& c, DType kv_dtype, const CaseOutputs& tested,
                                           const CaseOutputs& expected, std::span<const CaseOutputs> draws) {
  std::size_t at = 0;
  for (const Action& action : c.actions) {
    if (action.graph < 0 || !action.compare) continue;
    if (auto finding = compare_step(c, at, tested.steps[at], expected.steps[at], draws, action)) {
      return fmt::format("step {}: {}", at, *finding);
    }
    ++at;
  }
  const std::int64_t width = std::int64_t{c.kv.n_kv_heads} * c.kv.head_dim;
  for (std::size_t half = 0; half < expected.cache.size(); ++half) {
    const auto drawn = of_each(draws, [&](const CaseOutputs& draw) { return Values(draw.cache[half]); });
    auto finding = compare_values(tested.cache[half], expected.cache[half], drawn, width, true);
    if (!finding && c.cache_is_rounded_once) {
      finding =
          kv_dtype == DType::kI8
              ? compare_integers(tested.cache[half], expected.cache[half], static_cast<std::size_t>(c.kv.head_dim))
              : compare_rounded_once(tested.cache[half], expected.cache[half], static_cast<std::size_t>(width));
    }
    if (finding) {
      const std::size_t per_layer = c.kv.latent_dim > 0 ? 1 : 2;
      return fmt::format("cache, layer {}, {} (row = slot): {}", half / per_layer,
                         half % per_layer == 0 ? "keys" : "values", *finding);
    }
  }
  return std::nullopt;
}

}  // namespace secondsource::conformance
