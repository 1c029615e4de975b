#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/checked.h"
#include "core/random.h"
#include "harness.h"
#include "harness_support.h"
#include "random_weight.h"
#include "timed_step.h"

namespace secondsource::kernel_bench {
namespace {

constexpr std::int32_t kTableRows = 512;
constexpr std::int32_t kFillTokens = 512;
constexpr std::int64_t kCheckedTokens = 4;

/// A backend with a filled cache, the graph that attends over it, and that graph's batch.
struct Attending {
  std::unique_ptr<Backend> backend;
  KvPoolId pool{};
  StepGraph graph;
  OwnedBatch batch;
};

std::int32_t random_row(std::int32_t seq, std::int32_t position) {
  return static_cast<std::int32_t>(random_bits(static_cast<std::uint64_t>(seq), static_cast<std::uint64_t>(position)) %
                                   kTableRows);
}

RopeSpec plain_rope(std::int32_t head_dim) {
  RopeSpec rope;
  for (std::int32_t i = 0; i < head_dim / 2; ++i) {
    rope.inv_freq.push_back(std::pow(10000.0F, -2.0F * static_cast<float>(i) / static_cast<float>(head_dim)));
  }
  return rope;
}

/// Writes the same keys and values into every layer of the cache.
StepGraph fill_graph(const HeadShape& heads, WeightId table, std::int32_t n_layers) {
  StepGraph graph;
  const std::int32_t width = (heads.n_heads + 2 * heads.n_kv_heads) * heads.head_dim;
  graph.values = {{.cols = width}};
  graph.ropes = {plain_rope(heads.head_dim)};
  graph.ops.emplace_back(Embed{table, ValueId{0}, std::sqrt(static_cast<float>(width))});
  graph.labels = {"inputs"};
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    graph.values.push_back({.cols = heads.n_heads * heads.head_dim});
    graph.ops.emplace_back(
        RopeAppend{.qkv = ValueId{0}, .q_out = ValueId{layer + 1}, .layer = layer, .heads = heads, .rope = RopeId{0}});
    graph.labels.emplace_back("append");
  }
  return graph;
}

/// Attends once in every layer of the cache; the first one's results can be read.
StepGraph attend_graph(const HeadShape& heads, WeightId table, std::int32_t n_layers) {
  StepGraph graph;
  const std::int32_t width = heads.n_heads * heads.head_dim;
  graph.values = {{.cols = width}};
  graph.ops.emplace_back(Embed{table, ValueId{0}, std::sqrt(static_cast<float>(width))});
  graph.labels = {"inputs"};
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    graph.values.push_back({.cols = width, .observed = layer == 0});
    Attention attention{.q = ValueId{0}, .out = ValueId{layer + 1}, .layer = layer, .heads = heads};
    attention.scale = 1.0F / std::sqrt(static_cast<float>(heads.head_dim));
    graph.ops.emplace_back(attention);
    graph.labels.emplace_back("attention");
  }
  return graph;
}

/// Appends tokens at `positions` of sequence `seq`, which is the batch's `index`-th and has consecutive pages.
void add_sequence(OwnedBatch& batch, std::int32_t seq, std::int32_t index, const std::vector<std::int32_t>& positions,
                  std::int32_t kv_length, std::int32_t page_tokens) {
  for (std::int32_t page = 0; page < batch.max_pages_per_seq; ++page) {
    batch.block_table.push_back(index * batch.max_pages_per_seq + page);
  }
  for (const std::int32_t position : positions) {
    batch.token_ids.push_back(random_row(seq, position));
    batch.positions.push_back(position);
    batch.kv_slots.push_back(index * batch.max_pages_per_seq * page_tokens + position);
  }
  batch.q_starts.push_back(static_cast<std::int32_t>(batch.token_ids.size()));
  batch.kv_lengths.push_back(kv_length);
  batch.seq_slots.push_back(index);
}

std::vector<std::int32_t> range(std::int32_t begin, std::int32_t end) {
  std::vector<std::int32_t> values;
  for (std::int32_t i = begin; i < end; ++i) values.push_back(i);
  return values;
}

/// Bytes of the keys and values of all sequences in one layer.
double layer_bytes(const Backend& backend, const AttentionShape& shape) {
  const auto row_bytes = static_cast<double>(kv_row_bytes(backend.device().kv_dtype, shape.heads.head_dim));
  return 2.0 * row_bytes * shape.n_seqs * shape.n_cached * shape.heads.n_kv_heads;
}

/// Number of cache layers that are read in turn. On a device there are so many that its caches cannot hold them,
/// because a model's layers are read from memory, too. On a host there is one, which is compared with the read limit of
/// a buffer of its size.
std::int32_t layers_in_turn(const Backend& backend, const AttentionShape& shape) {
  constexpr double kMostLayers = 256;
  if (backend.device().is_host) return 1;
  return static_cast<std::int32_t>(std::clamp(
      std::ceil(static_cast<double>(kMinRotatedDeviceBytes) / layer_bytes(backend, shape)), 1.0, kMostLayers));
}

/// Fills the layers of a cache with the sequences `seqs` of the shape; the batch attends from `positions` of each. Results
/// are compared with those of a single layer.
Result<Attending> prepare_attending(const MakeBackend& make, const AttentionShape& shape,
                                    const std::vector<std::int32_t>& seqs, const std::vector<std::int32_t>& positions) {
  Attending attending;
  SS_TRY(attending.backend, make());
  Backend& backend = *attending.backend;
  const std::int32_t n_layers = layers_in_turn(backend, shape);
  const HeadShape& heads = shape.heads;
  const std::int32_t page_tokens = backend.device().page_tokens;
  const std::int32_t pages_per_seq = ceil_divide(shape.n_cached, page_tokens);
  const auto table = [&](std::int32_t width, std::uint64_t seed) {
    const auto source = std::make_shared<RandomWeight>(WeightEncoding::kF32, width, seed);
    return backend.prepare_weight(matrix_spec("inputs", kTableRows, width, WeightEncoding::kF32, source));
  };
  SS_TRY(const WeightId qkv_table, table((heads.n_heads + 2 * heads.n_kv_heads) * heads.head_dim, 1));
  SS_TRY(const WeightId q_table, table(heads.n_heads * heads.head_dim, 2));
  SS_TRY(attending.pool, backend.create_kv_pool({.n_layers = n_layers,
                                                 .n_kv_heads = heads.n_kv_heads,
                                                 .head_dim = heads.head_dim,
                                                 .page_tokens = page_tokens,
                                                 .dtype = backend.device().kv_dtype},
                                                std::int64_t{pages_per_seq} * static_cast<std::int64_t>(seqs.size())));
  const Bucket fill_bucket{
      .max_tokens = kFillTokens, .max_seqs = 1, .max_logit_rows = 0, .max_pages_per_seq = pages_per_seq};
  SS_TRY(const std::unique_ptr<Step> fill,
         backend.compile(fill_graph(heads, qkv_table, n_layers), fill_bucket, attending.pool, GroupTiming::kOff));
  attending.batch.max_pages_per_seq = pages_per_seq;
  for (std::size_t i = 0; i < seqs.size(); ++i) {
    const auto index = static_cast<std::int32_t>(i);
    for (std::int32_t first = 0; first < shape.n_cached; first += kFillTokens) {
      const std::int32_t end = std::min(shape.n_cached, first + kFillTokens);
      OwnedBatch batch;
      batch.max_pages_per_seq = pages_per_seq;
      add_sequence(batch, seqs[i], index, range(first, end), end, page_tokens);
      SS_TRY(const StepResult filled, run_step(backend, *fill, batch));
      (void)filled;
    }
    add_sequence(attending.batch, seqs[i], index, positions, shape.n_cached, page_tokens);
  }
  attending.graph = attend_graph(heads, q_table, n_layers);
  return attending;
}

/// Compares a few tokens of the first and of the last sequence with the reference.
Result<void> verify(const MakeBackend& reference, const AttentionShape& shape, const Step& step) {
  std::vector<std::int32_t> positions;
  const std::vector<std::int64_t> offsets = sample_of(shape.n_queries, kCheckedTokens);
  for (const std::int64_t offset : offsets) {
    positions.push_back(shape.n_cached - shape.n_queries + static_cast<std::int32_t>(offset));
  }
  std::vector<std::int32_t> seqs{0};
  if (shape.n_seqs > 1) seqs.push_back(shape.n_seqs - 1);
  SS_TRY(Attending expected, prepare_attending(reference, shape, seqs, positions));
  SS_TRY(const std::unique_ptr<Step> attend,
         expected.backend->compile(expected.graph, expected.batch.bucket(), expected.pool, GroupTiming::kOff));
  SS_TRY(const StepResult done, run_step(*expected.backend, *attend, expected.batch));
  (void)done;
  SS_TRY(const std::vector<float> expected_values, attend->read_value(ValueId{1}));
  SS_TRY(const std::vector<float> all, step.read_value(ValueId{1}));
  const auto width = static_cast<std::size_t>(shape.heads.n_heads) * static_cast<std::size_t>(shape.heads.head_dim);
  std::vector<float> found;
  for (const std::int32_t seq : seqs) {
    for (const std::int64_t offset : offsets) {
      const auto row =
          static_cast<std::size_t>(seq) * static_cast<std::size_t>(shape.n_queries) + static_cast<std::size_t>(offset);
      found.insert(found.end(), all.begin() + static_cast<std::ptrdiff_t>(row * width),
                   all.begin() + static_cast<std::ptrdiff_t>((row + 1) * width));
    }
  }
  double squares = 0.0;
  for (const float value : expected_values) squares += static_cast<double>(value) * static_cast<double>(value);
  const double rms = std::sqrt(squares / static_cast<double>(expected_values.size()));
  // Rounding queries, keys, values and weights to BF16 changes an output by about 2^-8 of its size; this tolerance is
  // more than ten times that.
  const std::vector<double> tolerance(expected_values.size(), 0.05 * rms);
  return check_close(found, expected_values, tolerance, fmt::format("attention over {} tokens", shape.n_cached));
}

OperationWork work_of(const Backend& backend, const AttentionShape& shape) {
  const HeadShape& heads = shape.heads;
  // The mean number of keys that a query sees. Each of them takes head_dim multiply-adds for the score and as many for
  // the weighted sum of values.
  const double mean_seen = shape.n_cached - (shape.n_queries - 1) / 2.0;
  const double bytes = layer_bytes(backend, shape);
  const std::int32_t n_layers = layers_in_turn(backend, shape);
  return {.bytes = bytes,
          .flops = 4.0 * shape.n_seqs * shape.n_queries * mean_seen * heads.n_heads * heads.head_dim,
          .working_set_bytes = bytes * n_layers,
          .n_per_step = n_layers};
}

}  // namespace

Result<std::unique_ptr<PreparedCase>> prepare_attention(const MakeBackend& make, const AttentionShape& shape,
                                                        const MakeBackend& reference) {
  const std::vector<std::int32_t> seqs = range(0, shape.n_seqs);
  const std::vector<std::int32_t> positions = range(shape.n_cached - shape.n_queries, shape.n_cached);
  SS_TRY(Attending attending, prepare_attending(make, shape, seqs, positions));
  SS_TRY(TimedStep step,
         TimedStep::prepare(*attending.backend, attending.graph, 1, std::move(attending.batch), attending.pool));
  SS_TRY_VOID(step.run());
  SS_TRY_VOID(verify(reference, shape, step.step()));
  const OperationWork work = work_of(*attending.backend, shape);
  return std::make_unique<PreparedCase>(std::move(attending.backend), std::move(step), work);
}

}  // namespace secondsource::kernel_bench
