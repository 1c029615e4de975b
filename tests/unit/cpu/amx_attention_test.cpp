// The source of the AMX attention over a software model of the instructions (amx_model.h): heads and tokens that do not
// fill tiles, every number of rows, windows, soft caps, scales of tokens, and several blocks of one online softmax. Expected
// values come from plain loops in f64. The conformance suite runs the same source on the real instructions.

#include <algorithm>

#include "unit/cpu/amx_model.h"
#include "unit/cpu/attention_problem.h"

namespace secondsource::cpu {
namespace {

/// Softmax weights are rounded to BF16, by at most 2^-8 of each (half a unit of eight bits). The rest is f32: scores of some
/// tens with sums of up to 256 products change a weight by less than 2^-13 of itself.
void check_attention(const AttentionShape& shape) {
  CAPTURE(shape.head_dim, shape.n_rows, shape.first_token, shape.end_token, shape.window, shape.softcap,
          shape.page_tokens, shape.is_int8);
  AttentionProblem problem(shape);
  const KernelTable& table = kernels_amx_model();
  problem.run(table, shape.is_int8 ? table.attend_many_int8 : table.attend_many_bf16);
  double worst = 0.0;
  for (int row = 0; row < shape.n_rows; ++row) worst = std::max(worst, problem.errors_of(row).relative);
  CHECK(worst < 0x1p-8 + 0x1p-12);
}

}  // namespace

TEST_CASE("attention over tiles is that of plain loops for every head, whatever the tokens of the last block") {
  constexpr int kHeadDims[] = {16, 64, 80, 96, 128, 256};
  for (const AttentionShape& shape : shapes_of_heads(kHeadDims, 20)) check_attention(shape);
}

TEST_CASE("attention over tiles is that of plain loops for every number of rows") {
  for (const AttentionShape& shape : shapes_of_rows()) check_attention(shape);
}

TEST_CASE("attention over tiles sees windows, soft caps and negative scales as plain loops do") {
  for (const AttentionShape& shape : shapes_of_scores(40, 33)) check_attention(shape);
}

TEST_CASE("attention over tiles takes pairs of V tiles from one page, from two, and from pages of one tile") {
  for (const bool is_int8 : {false, true}) {
    for (const int page_tokens : {16, 32, 48, 64}) {
      for (const std::int64_t first : {0, 16, 48}) {
        check_attention({.head_dim = 64,
                         .n_rows = 17,
                         .first_token = first,
                         .end_token = 270,
                         .page_tokens = page_tokens,
                         .is_int8 = is_int8});
      }
    }
  }
}

}  // namespace secondsource::cpu
