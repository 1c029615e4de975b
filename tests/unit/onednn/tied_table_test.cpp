// Tests that a tied table, used by both embedding and head, is stored only once, packed, and that the embedding reads it in that form.

#include "onednn/backend.h"
#include "unit/onednn/small_step.h"

namespace secondsource::onednn {
namespace {

std::unique_ptr<Backend> two_threads() {
  BackendOptions options;
  options.n_threads = 2;
  return create(options).value();
}

/// A graph whose value 0 is the embedded tokens. With a head, value 1 is their products with every row of the table.
StepGraph embedding(WeightId table, std::int32_t n_rows, std::int32_t n_cols, bool with_head) {
  StepGraph graph;
  graph.values = {{.cols = n_cols, .observed = true}};
  graph.ops = {Embed{table, ValueId{0}, 2.0F}};
  graph.labels = {"embed"};
  if (!with_head) return graph;
  graph.values.push_back({.cols = n_rows, .observed = true});
  graph.ops.emplace_back(Matmul{.x = ValueId{0}, .weight = table, .out = ValueId{1}});
  graph.labels.emplace_back("head");
  return graph;
}

TEST_CASE("a tied table costs its own bytes once, and before it is multiplied too") {
  const std::unique_ptr<Backend> backend = two_threads();
  const WeightId table = backend->prepare_weight(small_weight(WeightEncoding::kF32, 128, 64)).value();
  CHECK(backend->memory().weights_bytes == 128 * 64 * 4);
  const auto embed = compile_step(*backend, embedding(table, 128, 64, false), 1);
  CHECK(backend->memory().weights_bytes == 128 * 64 * 4);
  const auto tied = compile_step(*backend, embedding(table, 128, 64, true), 1);
  CHECK(backend->memory().weights_bytes == 128 * 64 * 4);
  // During packing, the stored rows existed beside the packed table, and nothing else.
  CHECK(backend->memory().peak_bytes < 3 * 128 * 64 * 4);
}

TEST_CASE("embedded rows are the stored ones, read from whatever blocks the product wants, odd extents included") {
  const auto [n_rows, n_cols] = GENERATE(
      table<std::int32_t, std::int32_t>({{1 + 1, 1}, {15, 7}, {33, 64}, {70, 33}, {128, 48}, {200, 131}, {1000, 65}}));
  const WeightEncoding encoding = GENERATE(WeightEncoding::kF32, WeightEncoding::kBf16);
  CAPTURE(n_rows, n_cols, to_string(encoding));
  const std::unique_ptr<Backend> backend = two_threads();
  const WeightId table = backend->prepare_weight(small_weight(encoding, n_rows, n_cols)).value();
  // The first step only embeds. The second one packs the table, after which the first must still find the rows.
  const auto embed = compile_step(*backend, embedding(table, n_rows, n_cols, false), 3);
  const auto tied = compile_step(*backend, embedding(table, n_rows, n_cols, true), 3);
  const std::int32_t ids[] = {n_rows - 1, 0, n_rows / 2};
  for (Step* step : {embed.get(), tied.get()}) {
    const std::vector<float> rows = run_step(*backend, *step, ids, ValueId{0});
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto column = static_cast<std::int64_t>(i) % n_cols;
      CHECK(rows[i] == 2.0F * small_integer(ids[i / static_cast<std::size_t>(n_cols)], column));
    }
  }
  // Sums of products of small integers are exact.
  const std::vector<float> products = run_step(*backend, *tied, ids, ValueId{1});
  for (std::int32_t t = 0; t < 3; ++t) {
    for (std::int32_t row = 0; row < n_rows; ++row) {
      float expected = 0.0F;
      for (std::int32_t k = 0; k < n_cols; ++k) expected += 2.0F * small_integer(ids[t], k) * small_integer(row, k);
      CHECK(products[static_cast<std::size_t>(t * n_rows + row)] == expected);
    }
  }
}

}  // namespace
}  // namespace secondsource::onednn
