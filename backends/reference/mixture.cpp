#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "reference/kernels.h"
#include "reference/matmul.h"

namespace secondsource::reference {
namespace {

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

}  // namespace

void ReferenceKernels::sort_experts(const Route& op, std::span<const double> scores,
                                    std::span<std::int32_t> order) const {
  std::vector<double> merits(scores.begin(), scores.end());
  if (op.score == RouteScore::kSigmoid && op.choice_bias) {
    const std::span<const float> bias = weights().values(*op.choice_bias);
    for (std::size_t i = 0; i < merits.size(); ++i) merits[i] = sigmoid(merits[i]) + static_cast<double>(bias[i]);
  } else if (op.n_groups > 1 && op.group_score == GroupScore::kSumOfTwo && op.score == RouteScore::kSigmoid) {
    std::ranges::transform(merits, merits.begin(), sigmoid);
  } else if (op.n_groups > 1 && op.group_score == GroupScore::kSumOfTwo) {
    const double row_max = *std::ranges::max_element(scores);
    std::ranges::transform(merits, merits.begin(), [&](double score) { return std::exp(score - row_max); });
  }
  if (op.n_groups > 1) {
    const std::size_t group_size = merits.size() / static_cast<std::size_t>(op.n_groups);
    std::vector<double> of_groups;
    for (std::size_t first = 0; first < merits.size(); first += group_size) {
      std::vector<double> members(merits.begin() + static_cast<std::ptrdiff_t>(first),
                                  merits.begin() + static_cast<std::ptrdiff_t>(first + group_size));
      std::ranges::sort(members, std::greater{});
      of_groups.push_back(members[0] + (op.group_score == GroupScore::kSumOfTwo ? members[1] : 0.0));
    }
    std::vector<std::size_t> best(of_groups.size());
    std::iota(best.begin(), best.end(), 0);
    std::ranges::stable_sort(best, std::greater{}, [&](std::size_t group) { return of_groups[group]; });
    for (const std::size_t group : std::span(best).subspan(static_cast<std::size_t>(op.n_top_groups))) {
      std::fill_n(merits.begin() + static_cast<std::ptrdiff_t>(group * group_size), group_size,
                  -std::numeric_limits<double>::infinity());
    }
  }
  std::ranges::stable_sort(order, std::greater{}, [&](std::int32_t e) { return merits[static_cast<std::size_t>(e)]; });
}

Result<void> ReferenceKernels::run(const Route& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<std::int32_t> expert = frame.value_i32(op.expert);
  const MatrixView<float> weight = frame.value(op.weight);
  const auto n_experts = static_cast<std::size_t>(weights().spec(op.gate).n_rows);
  const auto n_top = static_cast<std::size_t>(op.n_top);
  std::vector<double> input(static_cast<std::size_t>(x.cols()));
  std::vector<double> scores(n_experts);
  std::vector<std::int32_t> order(n_experts);
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    read_activations(x.row(row), ActQuant::kNone, 0.0F, input);
    multiply_rows({input.data(), 1, x.cols()}, weights().values(op.gate), scores);
    for (std::size_t i = 0; op.bias && i < n_experts; ++i)
      scores[i] += static_cast<double>(weights().values(*op.bias)[i]);
    // The largest scores are the largest probabilities; ties go to the lowest expert. A row with NaN scores cannot be
    // sorted: it takes the first experts, with weights of NaN.
    std::iota(order.begin(), order.end(), 0);
    const bool has_nan = std::ranges::any_of(scores, [](double score) { return std::isnan(score); });
    if (has_nan) scores.assign(n_experts, std::numeric_limits<double>::quiet_NaN());
    if (!has_nan) sort_experts(op, scores, order);
    const double row_max = *std::ranges::max_element(scores);
    double sum = 0.0;
    for (std::size_t i = 0; i < n_experts; ++i) {
      if (op.renormalize && i >= n_top) break;
      sum += std::exp(scores[static_cast<std::size_t>(order[i])] - row_max);
    }
    const auto score_of = [&](std::size_t j) { return scores[static_cast<std::size_t>(order[j])]; };
    if (op.score == RouteScore::kSigmoid) {
      sum = op.renormalize ? 0.0 : 1.0;
      for (std::size_t j = 0; op.renormalize && j < n_top; ++j) sum += sigmoid(score_of(j));
    }
    for (std::size_t j = 0; j < n_top; ++j) {
      const bool is_sigmoid = op.score == RouteScore::kSigmoid;
      const double share = is_sigmoid ? sigmoid(score_of(j)) : std::exp(score_of(j) - row_max);
      expert(row, static_cast<std::int64_t>(j)) = order[j];
      weight(row, static_cast<std::int64_t>(j)) = static_cast<float>(share / sum * static_cast<double>(op.scale));
    }
  }
  return {};
}

Result<void> ReferenceKernels::run(const HeadMatmul& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const WeightSpec& spec = weights().spec(op.weights);
  const auto n_heads = static_cast<std::size_t>(op.n_heads);
  const std::size_t x_dim = static_cast<std::size_t>(x.cols()) / n_heads;
  const std::size_t out_dim = static_cast<std::size_t>(out.cols()) / n_heads;
  const auto n_inputs = static_cast<std::size_t>(spec.n_cols);
  const std::size_t n_products = static_cast<std::size_t>(spec.n_rows) / n_heads;
  std::vector<double> input(n_inputs);
  std::vector<double> sums(n_products);
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    for (std::size_t head = 0; head < n_heads; ++head) {
      const std::span<const float> from = x.row(row).subspan(head * x_dim, x_dim);
      const std::span<float> to = out.row(row).subspan(head * out_dim, out_dim);
      read_activations(from.first(n_inputs), ActQuant::kNone, 0.0F, input);
      const std::size_t matrix_size = n_products * n_inputs;
      const std::span<const float> matrix = weights().values(op.weights).subspan(head * matrix_size, matrix_size);
      multiply_rows({input.data(), 1, spec.n_cols}, matrix, sums);
      round_sums({input.data(), 1, spec.n_cols}, matrix, ActQuant::kNone, sums);
      std::ranges::transform(sums, to.begin(), [](double value) { return static_cast<float>(value); });
      std::ranges::copy(from.subspan(n_inputs), to.subspan(n_products).begin());
    }
  }
  return {};
}

Result<void> ReferenceKernels::run(const GroupedMatmul& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<std::int32_t> expert = frame.value_i32(op.expert);
  const MatrixView<float> out = frame.value(op.out);
  const WeightSpec& spec = weights().spec(op.weights);
  const std::int64_t n_rows = spec.n_rows / spec.n_experts;
  const bool is_second = op.weight.has_value();
  const std::int64_t n_inputs = has_x_per_expert(op) ? x.cols() / op.n_top : x.cols();
  const std::int64_t n_outputs = is_second ? out.cols() : out.cols() / op.n_top;
  const auto expert_size = static_cast<std::size_t>(n_rows * n_inputs);
  std::vector<double> input(static_cast<std::size_t>(n_inputs));
  std::vector<double> sums(static_cast<std::size_t>(n_rows));
  std::vector<double> result(static_cast<std::size_t>(n_outputs));
  std::vector<double> total(static_cast<std::size_t>(out.cols()));

  for (std::int64_t row = 0; row < x.rows(); ++row) {
    std::ranges::fill(total, 0.0);
    if (op.aux) std::ranges::copy(frame.value(*op.aux).row(row), total.begin());
    for (std::int64_t j = 0; j < op.n_top; ++j) {
      const std::size_t input_at = has_x_per_expert(op) ? static_cast<std::size_t>(j * n_inputs) : 0;
      read_activations(x.row(row).subspan(input_at, input.size()), op.act, op.act_scale, input);
      const std::span<const float> chosen =
          weights().values(op.weights).subspan(static_cast<std::size_t>(expert(row, j)) * expert_size, expert_size);
      multiply_rows({input.data(), 1, n_inputs}, chosen, sums);
      round_sums({input.data(), 1, n_inputs}, chosen, op.act, sums);
      std::span<const float> bias;
      if (op.bias) {
        bias = weights().values(*op.bias).subspan(static_cast<std::size_t>(expert(row, j) * n_rows), sums.size());
      }
      const Epilogue plain = op.bias ? Epilogue::kBias : Epilogue::kNone;
      apply_epilogue(is_gated(op.epilogue) ? op.epilogue : plain, sums, bias, result);
      const double share = is_second ? static_cast<double>(frame.value(*op.weight)(row, j)) : 1.0;
      const std::size_t out_at = is_second ? 0 : static_cast<std::size_t>(j * n_outputs);
      for (std::size_t i = 0; i < result.size(); ++i) total[out_at + i] += share * result[i];
    }
    std::ranges::transform(total, out.row(row).begin(), [](double value) { return static_cast<float>(value); });
  }
  return {};
}

}  // namespace secondsource::reference
