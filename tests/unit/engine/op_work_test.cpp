// The expected values are computed by hand; the comments show how.

#include "engine/op_work.h"

#include "support/catch.h"

namespace secondsource {
namespace {

/// Two sequences: one decodes its 10th token, the other computes tokens 4 to 6 of its prompt.
struct TwoSequences {
  std::vector<std::int32_t> token_ids = {1, 2, 3, 4};
  std::vector<std::int32_t> q_starts = {0, 1, 4};
  std::vector<std::int32_t> kv_lengths = {10, 6};
  std::vector<std::int32_t> logit_rows = {0};
  [[nodiscard]] Batch batch() const {
    Batch batch;
    batch.token_ids = token_ids;
    batch.q_starts = q_starts;
    batch.kv_lengths = kv_lengths;
    batch.logit_rows = logit_rows;
    return batch;
  }
};

TEST_CASE("counts of a step: tokens, rows, cached tokens read and pairs of attention") {
  const StepCounts counts = counts_of(TwoSequences().batch(), 0);
  CHECK(counts.n_steps == 1);
  CHECK(counts.n_tokens == 4);
  CHECK(counts.n_logit_rows == 1);
  CHECK(counts.n_kv_read == 10 + 6);
  CHECK(counts.n_pairs == 10 + (4 + 5 + 6));
  CHECK(counts.n_kv_read_in_window == 0);
}

TEST_CASE("a sliding window bounds what attention reads and pairs") {
  // Window 4: the decoding token reads 4 positions; tokens 4 to 6 read positions 1 to 6, all six, with 4 pairs each.
  const StepCounts counts = counts_of(TwoSequences().batch(), 4);
  CHECK(counts.n_kv_read_in_window == 4 + 6);
  CHECK(counts.n_pairs_in_window == 4 + (4 + 4 + 4));
  // Window 2: the decoding token reads 2 positions, the others read positions 3 to 6.
  CHECK(counts_of(TwoSequences().batch(), 2).n_kv_read_in_window == 2 + 4);
}

TEST_CASE("the work of each operation, from counts summed over steps") {
  StepGraph graph;
  graph.values = {{.cols = 8}, {.cols = 6}, {.rows = Rows::kLogits, .cols = 8}, {.rows = Rows::kLogits, .cols = 100}};
  ModelWeights weights;
  weights.extents = {{WeightId{0}, {.bytes = 1600, .n_rows = 100}},       // embedding [100, 8] in BF16
                     {WeightId{1}, {.bytes = 96, .n_rows = 6}},           // [6, 8] in BF16
                     {WeightId{2}, {.bytes = 800 + 400, .n_rows = 100}},  // head [100, 8] in int8 with scales
                     {WeightId{3}, {.bytes = 4 * 96, .n_rows = 24, .n_experts = 4}}};  // four experts [6, 8]
  // Ten steps of 16 tokens, 4 logit rows each.
  const StepCounts counts{.n_steps = 10, .n_tokens = 160, .n_logit_rows = 40, .n_kv_read = 1000, .n_pairs = 3000};
  const auto work = [&](const Op& op) { return work_of(op, graph, weights, DType::kBf16, counts); };

  CHECK(work(Embed{.table = WeightId{0}, .out = ValueId{0}}).weight_bytes == 160 * 16.0);
  const OpWork matmul = work(Matmul{.x = ValueId{0}, .weight = WeightId{1}, .out = ValueId{1}});
  CHECK(matmul.flops == 2.0 * 6 * 8 * 160);
  CHECK(matmul.weight_bytes == 96.0 * 10);
  const OpWork head = work(Matmul{.x = ValueId{2}, .weight = WeightId{2}, .out = ValueId{3}});
  CHECK(head.flops == 2.0 * 100 * 8 * 40);
  CHECK(head.weight_bytes == 1200.0 * 10);
  const OpWork attention = work(Attention{.q = ValueId{0}, .out = ValueId{0}, .heads = {4, 2, 2}});
  CHECK(attention.flops == 4.0 * 4 * 2 * 3000);
  CHECK(attention.kv_bytes == 2.0 * 2 * 2 * 2 * 1000);
  // Latents of 1 + 1 numbers: scores use both, values only one; and one row is cached instead of two.
  const OpWork latents = work(Attention{.q = ValueId{0}, .out = ValueId{0}, .heads = {4, 1, 2, 1}});
  CHECK(latents.flops == 2.0 * 4 * (2 + 1) * 3000);
  CHECK(latents.kv_bytes == 2.0 * 2 * 1000);
  // Each head has 8 / 4 inputs: one is multiplied, giving 24 / 4 outputs, and the other is copied behind them.
  graph.values.push_back({.cols = 4 * (6 + 1)});
  const OpWork heads = work(HeadMatmul{.x = ValueId{0}, .weights = WeightId{3}, .out = ValueId{4}, .n_heads = 4});
  CHECK(heads.flops == 2.0 * 24 * 1 * 160);
  CHECK(heads.weight_bytes == 4 * 96.0 * 10);
  // Each token uses two of four experts, so at least two have to be read per step.
  const OpWork experts =
      work(GroupedMatmul{.x = ValueId{0}, .expert = ValueId{1}, .weights = WeightId{3}, .out = ValueId{1}, .n_top = 2});
  CHECK(experts.flops == 2.0 * 6 * 8 * 2 * 160);
  CHECK(experts.weight_bytes == 2 * 96.0 * 10);
  // The work is the same whether each expert has its own input of 8 numbers or both share one.
  graph.values.push_back({.cols = 2 * 8});
  const OpWork with_own_inputs = work(GroupedMatmul{.x = ValueId{5},
                                                    .expert = ValueId{1},
                                                    .weights = WeightId{3},
                                                    .out = ValueId{1},
                                                    .n_top = 2,
                                                    .x_per_expert = true});
  CHECK(with_own_inputs.flops == experts.flops);
  CHECK(with_own_inputs.weight_bytes == experts.weight_bytes);
  graph.values.pop_back();
  const OpWork rotated = work(
      RopeAppend{.qkv = ValueId{0}, .q_out = ValueId{0}, .heads = {4, 2, 2}, .rope = RopeId{0}, .q_norm = WeightId{1}});
  CHECK(rotated.weight_bytes == 96.0 * 10);
  // A separate product for v costs as many operations and weight bytes as its rows cost in the joined product.
  weights.extents[WeightId{4}] = {.bytes = 64, .n_rows = 4};
  weights.extents[WeightId{5}] = {.bytes = 32, .n_rows = 2};
  graph.values.push_back({.cols = 4});
  graph.values.push_back({.cols = 2});
  OpWork apart = work(Matmul{.x = ValueId{0}, .weight = WeightId{4}, .out = ValueId{5}});
  apart += work(Matmul{.x = ValueId{0}, .weight = WeightId{5}, .out = ValueId{6}});
  apart +=
      work(RopeAppend{.qkv = ValueId{5}, .v = ValueId{6}, .q_out = ValueId{0}, .heads = {1, 1, 2}, .rope = RopeId{0}});
  CHECK(apart.flops == matmul.flops);
  CHECK(apart.weight_bytes == matmul.weight_bytes);
  CHECK(apart.kv_bytes == 0);
  const OpWork sampled = work(Sample{.logits = ValueId{3}});
  CHECK(sampled.flops + sampled.weight_bytes + sampled.kv_bytes == 0);

  graph.ops = {Embed{.table = WeightId{0}, .out = ValueId{0}},
               Matmul{.x = ValueId{0}, .weight = WeightId{1}, .out = ValueId{1}}};
  CHECK(work_of(graph, weights, DType::kBf16, counts).weight_bytes == 160 * 16.0 + 96.0 * 10);
}

}  // namespace
}  // namespace secondsource
