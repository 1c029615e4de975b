// Attention by the kernels of each instruction set that this CPU has: heads and tokens that do not fill tiles, every number of rows,
// windows, soft caps, scales of tokens, and several blocks of one online softmax. Expected values come from plain loops in f64, and the
// bounds of errors follow from how each kernel rounds queries and softmax weights.

#include <cmath>
#include <limits>
#include <string>

#include "cpu/cpu_features.h"
#include "unit/cpu/attention_problem.h"

namespace secondsource::cpu {
namespace {

/// The kernel of a table for any number of rows.
const AttendKernel& kernel_of(const KernelTable& table, const AttentionShape& shape) {
  return shape.is_int8 ? table.attend_int8 : table.attend_bf16;
}

void check_kernels(const AttentionShape& shape) {
  for (const Isa isa : usable_isas()) {
    CAPTURE(std::string(to_string(isa)), shape.head_dim, shape.n_rows, shape.first_token, shape.end_token, shape.window,
            shape.softcap, shape.page_tokens, shape.is_int8, shape.v_scale_powers);
    AttentionProblem problem(shape);
    const KernelTable& table = kernel_table(isa);
    problem.run(table, kernel_of(table, shape));
    double worst = 0.0;
    for (int row = 0; row < shape.n_rows; ++row) worst = std::max(worst, problem.errors_of(row).by_bound);
    CHECK(worst < 1.0);
  }
}

}  // namespace

TEST_CASE("attention is that of plain loops for every head, whatever the tokens of the last block") {
  constexpr int kHeadDims[] = {4, 16, 64, 80, 96, 128, 256, 576};
  for (const AttentionShape& shape : shapes_of_heads(kHeadDims, 5)) check_kernels(shape);
}

TEST_CASE("attention is that of plain loops for every number of rows") {
  for (const AttentionShape& shape : shapes_of_rows()) check_kernels(shape);
}

TEST_CASE("attention sees windows, soft caps, negative scales and pages as plain loops do") {
  for (const AttentionShape& shape : shapes_of_scores(13, 9)) check_kernels(shape);
  for (const bool is_int8 : {false, true}) {
    for (const int page_tokens : {16, 48}) {
      check_kernels({.head_dim = 64,
                     .n_rows = 4,
                     .first_token = 48,
                     .end_token = 270,
                     .page_tokens = page_tokens,
                     .is_int8 = is_int8});
    }
  }
}

TEST_CASE("weights of tokens whose values are large keep their digits beside one whose values are small") {
  // The first token of many models gets most of the weight, and has values near zero.
  check_kernels({.head_dim = 64, .n_rows = 4, .end_token = 300, .scale = 2.0F, .is_int8 = true, .v_scale_powers = 20});
}

TEST_CASE("the largest sums of scores are exact for heads of any size") {
  for (const int head_dim : {64, 512, 516, 576, 1024, 2048}) {
    check_kernels({.head_dim = head_dim,
                   .n_rows = 3,
                   .end_token = 200,
                   .scale = 0.5F / static_cast<float>(head_dim),
                   .is_int8 = true,
                   .has_largest_sums = true});
  }
}

TEST_CASE("a query or a scale that is not finite reaches the outputs of its rows") {
  for (const Isa isa : usable_isas()) {
    CAPTURE(std::string(to_string(isa)));
    const AttentionShape shape = {.head_dim = 64, .n_rows = 3, .end_token = 200, .is_int8 = true};
    const KernelTable& table = kernel_table(isa);
    const auto outputs_are_nan = [&](AttentionProblem& problem, int row) {
      problem.run(table, kernel_of(table, shape));
      return std::isnan(problem.output(row, 0));
    };
    AttentionProblem with_query(shape);
    with_query.queries()[64] = std::numeric_limits<float>::infinity();
    CHECK(outputs_are_nan(with_query, 1));
    CHECK_FALSE(outputs_are_nan(with_query, 0));
    AttentionProblem with_key(shape);
    with_key.k_scales()[3] = std::numeric_limits<float>::quiet_NaN();
    CHECK(outputs_are_nan(with_key, 2));
    AttentionProblem with_value(shape);
    with_value.v_scales()[130] = std::numeric_limits<float>::quiet_NaN();
    CHECK(outputs_are_nan(with_value, 0));
  }
}

TEST_CASE("queries and values of zero, and values near the smallest, give what plain loops give") {
  for (const Isa isa : usable_isas()) {
    CAPTURE(std::string(to_string(isa)));
    const KernelTable& table = kernel_table(isa);
    AttentionProblem zeros({.head_dim = 64, .n_rows = 2, .end_token = 150, .is_int8 = true});
    std::ranges::fill(zeros.queries(), 0.0F);
    zeros.run(table, table.attend_int8);
    CHECK(zeros.errors_of(1).by_bound < 1.0);
    std::ranges::fill(zeros.v_scales(), 0.0F);
    zeros.run(table, table.attend_int8);
    CHECK(zeros.output(1, 5) == 0.0);
    // Digits of such small weights have a least unit; without it the reciprocals of units would be infinite and the outputs 0.
    AttentionProblem small({.head_dim = 64, .n_rows = 2, .end_token = 150, .is_int8 = true});
    for (float& scale : small.v_scales()) scale *= 0x1p-108F;
    small.run(table, table.attend_int8);
    CHECK(small.errors_of(0).relative < 0.1);
  }
}

}  // namespace secondsource::cpu
