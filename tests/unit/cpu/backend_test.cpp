// The backend's options, memory accounting, weight layouts, and steps that need its own code paths.

#include "cpu/backend.h"

#include <sched.h>

#include <cmath>
#include <numeric>

#include "core/half.h"
#include "core/random.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/simple_batches.h"

namespace secondsource::cpu {
namespace {

/// Row r, column c holds r + c / 1024.
class CountingRows final : public WeightSource {
 public:
  explicit CountingRows(std::int64_t n_cols) : n_cols_(n_cols) {}
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float>) const override {
    auto* const out = reinterpret_cast<float*>(values.data());
    for (std::int64_t row = 0; row < n_rows; ++row) {
      for (std::int64_t column = 0; column < n_cols_; ++column) {
        out[row * n_cols_ + column] = static_cast<float>(first_row + row) + static_cast<float>(column) / 1024.0F;
      }
    }
    return {};
  }

 private:
  std::int64_t n_cols_;
};

WeightSpec counting_weight(std::int64_t n_rows, std::int64_t n_cols, Join join = Join::kNone) {
  WeightSpec spec{.name = "w", .n_rows = n_rows, .n_cols = n_cols, .encoding = WeightEncoding::kF32, .parts = {}};
  spec.join = join;
  const std::int64_t n_parts = join == Join::kInterleaveGateUp ? 2 : 1;
  for (std::int64_t part = 0; part < n_parts; ++part) {
    spec.parts.push_back({n_rows / n_parts, std::make_shared<CountingRows>(n_cols)});
  }
  return spec;
}

namespace {

BackendOptions option(std::string name, std::string value) {
  BackendOptions options;
  options.extra = {{std::move(name), std::move(value)}};
  return options;
}
BackendOptions device(std::string id) {
  BackendOptions options;
  options.device_id = std::move(id);
  return options;
}
BackendOptions pinned(std::vector<std::int32_t> cpus) {
  BackendOptions options;
  options.cpus = std::move(cpus);
  return options;
}
BackendOptions threads(std::int32_t count) {
  BackendOptions options;
  options.n_threads = count;
  return options;
}

}  // namespace

TEST_CASE("an unknown option, instruction set or device is refused in one line") {
  const auto message = [](BackendOptions options) { return create(options).error().message; };
  CHECK(message(option("isa", "sse9")).starts_with("option isa: expected one of scalar"));
  CHECK(message(option("speed", "high")) == "option speed: expected isa, products, kv, guards or weight_cache");
  CHECK(message(option("kv", "fp8")) == "option kv: expected bf16, f16, int8 or f32, found fp8");
  CHECK(message(device("1")) == "device 1: expected 0");
  CHECK(message(threads(-1)) == "expected 0 to 1024 threads, found -1");
  CHECK(message(pinned({-3})).starts_with("expected CPU numbers"));
}

TEST_CASE("the device says what was chosen") {
  BackendOptions options;
  options.n_threads = 1;
  options.extra = {{"isa", "scalar"}, {"kv", "f32"}};
  const std::unique_ptr<Backend> backend = create(options).value();
  CHECK(backend->device().kv_dtype == DType::kF32);
  CHECK(backend->device().properties.at(0).second == "scalar");
  CHECK(backend->device().properties.at(1).second == "1");
}

TEST_CASE("memory is accounted to the byte that was handed out, and given back") {
  BackendOptions options;
  options.n_threads = 1;
  const std::unique_ptr<Backend> backend = create(options).value();
  CHECK(backend->memory().total_bytes() == 0);
  REQUIRE(backend->prepare_weight(counting_weight(20, 33)).has_value());  // two tiles of [33][16] f32
  CHECK(backend->memory().weights_bytes == 2 * 33 * 16 * 4);
  REQUIRE(backend->prepare_weight(counting_weight(1, 48)).has_value());  // a vector of 48 f32
  CHECK(backend->memory().weights_bytes == 2 * 33 * 16 * 4 + 192);
  std::int64_t kv_bytes = 0;
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kF16, DType::kI8}) {
    const KvSpec kv{.n_layers = 2, .n_kv_heads = 2, .head_dim = 32, .page_tokens = 32, .dtype = dtype};
    REQUIRE(backend->create_kv_pool(kv, 64).has_value());
    kv_bytes += 64 * kv_page_bytes(kv);
    CHECK(backend->memory().kv_bytes == kv_bytes);
  }
  CHECK(backend->memory().peak_bytes == backend->memory().total_bytes());
}

TEST_CASE("prepared weights come back as they went in, odd shapes and gate and up included") {
  BackendOptions options;
  options.n_threads = 2;
  const std::unique_ptr<Backend> backend = create(options).value();
  const struct {
    std::int64_t n_rows, n_cols;
    Join join;
  } cases[] = {{1, 1, Join::kNone},
               {1, 37, Join::kNone},
               {2, 3, Join::kNone},
               {15, 7, Join::kNone},
               {16, 16, Join::kNone},
               {33, 5, Join::kNone},
               {2, 9, Join::kInterleaveGateUp},
               {34, 3, Join::kInterleaveGateUp},
               {64, 8, Join::kInterleaveGateUp}};
  for (const auto& c : cases) {
    CAPTURE(c.n_rows, c.n_cols);
    const WeightId id = backend->prepare_weight(counting_weight(c.n_rows, c.n_cols, c.join)).value();
    const std::vector<float> values = backend->unprepare_weight(id).value();
    const std::int64_t rows_per_part = c.join == Join::kNone ? c.n_rows : c.n_rows / 2;
    for (std::int64_t row = 0; row < c.n_rows; ++row) {
      for (std::int64_t column = 0; column < c.n_cols; ++column) {
        const float expected = static_cast<float>(row % rows_per_part) + static_cast<float>(column) / 1024.0F;
        CHECK(values[static_cast<std::size_t>(row * c.n_cols + column)] == expected);
      }
    }
  }
}

TEST_CASE("parts that end inside a tile are joined row by row") {
  const std::unique_ptr<Backend> backend = create(threads(3)).value();
  WeightSpec spec{.name = "qkv", .n_rows = 34, .n_cols = 5, .encoding = WeightEncoding::kF32, .parts = {}};
  spec.join = Join::kConcatRows;
  for (const std::int64_t n_rows : {20, 7, 7}) spec.parts.push_back({n_rows, std::make_shared<CountingRows>(5)});
  const std::vector<float> values = backend->unprepare_weight(backend->prepare_weight(spec).value()).value();
  for (std::int64_t row = 0; row < 34; ++row) {
    const std::int64_t of_part = row < 20 ? row : (row - 20) % 7;
    CHECK(values[static_cast<std::size_t>(row * 5)] == static_cast<float>(of_part));
  }
}

TEST_CASE("experts come back as they went in, and each begins a tile of its own") {
  constexpr std::int64_t kExperts = 3;
  constexpr std::int64_t kCols = 7;
  const auto [join, part_rows] = GENERATE(table<Join, std::int64_t>(
      {{Join::kConcatRows, 5}, {Join::kConcatRows, 16}, {Join::kInterleaveGateUp, 5}, {Join::kInterleaveGateUp, 17}}));
  CAPTURE(join == Join::kInterleaveGateUp, part_rows);
  const std::unique_ptr<Backend> backend = create(threads(2)).value();
  const std::int64_t parts_each = join == Join::kInterleaveGateUp ? 2 : 1;
  WeightSpec spec{.name = "experts",
                  .n_rows = kExperts * parts_each * part_rows,
                  .n_cols = kCols,
                  .encoding = WeightEncoding::kF32,
                  .parts = {},
                  .join = join,
                  .n_experts = kExperts};
  for (std::int64_t part = 0; part < kExperts * parts_each; ++part) {
    spec.parts.push_back({part_rows, std::make_shared<CountingRows>(kCols)});
  }
  const WeightId id = backend->prepare_weight(spec).value();
  const std::int64_t tiles_each = parts_each * ((part_rows + 15) / 16);
  CHECK(backend->memory().weights_bytes == kExperts * tiles_each * kCols * 16 * 4);
  const std::vector<float> values = backend->unprepare_weight(id).value();
  for (std::int64_t row = 0; row < spec.n_rows; ++row) {
    for (std::int64_t column = 0; column < kCols; ++column) {
      const float expected = static_cast<float>(row % part_rows) + static_cast<float>(column) / 1024.0F;
      CHECK(values[static_cast<std::size_t>(row * kCols + column)] == expected);
    }
  }
}

KvPoolId small_pool(Backend& backend) {
  return backend
      .create_kv_pool(
          {.n_layers = 1, .n_kv_heads = 1, .head_dim = 32, .page_tokens = 16, .dtype = backend.device().kv_dtype}, 1)
      .value();
}

TEST_CASE("an expert may have more rows and columns than one pass of a product takes") {
  constexpr std::int32_t kTokens = 40;
  constexpr std::int32_t kCols = 2500;
  constexpr std::int32_t kOutputs = 20;
  const std::unique_ptr<Backend> backend = create(threads(2)).value();
  const WeightId table = backend->prepare_weight(counting_weight(kTokens, kCols)).value();
  // Inputs are positive, so the last row has the largest score.
  const WeightId gate = backend->prepare_weight(counting_weight(3, kCols)).value();
  WeightSpec spec = counting_weight(3 * kOutputs, kCols);
  spec.join = Join::kConcatRows;
  spec.n_experts = 3;
  spec.parts.assign(3, {kOutputs, std::make_shared<CountingRows>(kCols)});
  const WeightId experts = backend->prepare_weight(spec).value();
  StepGraph graph;
  graph.values = {
      {.cols = kCols}, {.dtype = DType::kI32, .cols = 1}, {.cols = 1}, {.cols = kOutputs, .observed = true}};
  graph.ops = {Embed{table, ValueId{0}, 1.0F},
               Route{.x = ValueId{0}, .gate = gate, .n_top = 1, .expert = ValueId{1}, .weight = ValueId{2}},
               GroupedMatmul{.x = ValueId{0}, .expert = ValueId{1}, .weights = experts, .out = ValueId{3}, .n_top = 1}};
  graph.labels = {"inputs", "route", "product"};
  const auto step = backend->compile(graph, {kTokens, 1, 0, 1}, small_pool(*backend), GroupTiming::kOff).value();
  REQUIRE_OK(backend->wait(step->submit(test::uncached_tokens(kTokens).view()).value(), {}));
  const std::vector<float> found = step->read_value(ValueId{3}).value();
  for (std::int32_t token = 0; token < kTokens; ++token) {
    for (std::int32_t output = 0; output < kOutputs; ++output) {
      double expected = 0.0;
      for (std::int32_t column = 0; column < kCols; ++column)
        expected += (token + column / 1024.0) * (output + column / 1024.0);
      CAPTURE(token, output);
      // The error of an f32 sum of k positive terms is at most k roundings of the sum.
      CHECK(std::abs(static_cast<double>(found[static_cast<std::size_t>(token * kOutputs + output)]) - expected) <=
            kCols * 0x1p-24 * expected);
    }
  }
}

class ZeroRows final : public WeightSource {
 public:
  Result<void> read_rows(std::int64_t, std::int64_t, std::span<std::byte> values, std::span<float>) const override {
    std::ranges::fill(values, std::byte{0});
    return {};
  }
};

/// Codes of 0, with scales of 1.
class ZeroCodes final : public WeightSource {
 public:
  Result<void> read_rows(std::int64_t, std::int64_t, std::span<std::byte> values,
                         std::span<float> scales) const override {
    std::ranges::fill(values, std::byte{0});
    std::ranges::fill(scales, 1.0F);
    return {};
  }
};

TEST_CASE("a step has scratch memory for any number of rows up to its bucket's, whichever kernel they take") {
  constexpr std::int32_t kTokens = 160;
  constexpr std::int32_t kCols = 256;     // one block of a K-quant
  constexpr std::int32_t kOutputs = 160;  // more tiles than a panel has
  // The choice of the kernel may differ between any two numbers of rows up to kUnpackFromRows. Beyond that, one number needs a second
  // block of rows, and the last one is where int4-w8a8 is unpacked. Testing every number takes minutes under the sanitizers.
  std::vector<std::int32_t> token_counts(kUnpackFromRows);
  std::iota(token_counts.begin(), token_counts.end(), 1);
  token_counts.insert(token_counts.end(), {kMaxRowBlock + 1, kTokens});
  std::vector<std::pair<WeightEncoding, ActQuant>> products = {
      {WeightEncoding::kF32, ActQuant::kNone},          {WeightEncoding::kBf16, ActQuant::kNone},
      {WeightEncoding::kF16, ActQuant::kNone},          {WeightEncoding::kInt8PerRow, ActQuant::kNone},
      {WeightEncoding::kInt8Group32, ActQuant::kNone},  {WeightEncoding::kInt4Group32, ActQuant::kNone},
      {WeightEncoding::kFp8PerRow, ActQuant::kNone},    {WeightEncoding::kFp8Group128, ActQuant::kNone},
      {WeightEncoding::kMxfp4Group32, ActQuant::kNone}, {WeightEncoding::kNvfp4Group16, ActQuant::kNone}};
  for (const WeightEncoding encoding :
       {WeightEncoding::kInt8PerRow, WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32}) {
    products.emplace_back(encoding, ActQuant::kInt8PerRow);
  }
  for (const WeightEncoding encoding : kBlockEncodings) products.emplace_back(encoding, ActQuant::kNone);
  for (const Isa isa : usable_isas()) {
    for (const auto& [encoding, act] : products) {
      CAPTURE(to_string(isa), to_string(encoding), static_cast<int>(act));
      // Each product has a backend of its own, because a backend never shrinks its scratch memory.
      const std::unique_ptr<Backend> backend = create(option("isa", std::string(to_string(isa)))).value();
      const WeightId table = backend->prepare_weight(counting_weight(kTokens, kCols)).value();
      WeightSpec spec{.name = "w", .n_rows = kOutputs, .n_cols = kCols, .encoding = encoding, .parts = {}};
      spec.parts = {{kOutputs, std::make_shared<ZeroCodes>()}};
      StepGraph graph;
      graph.values = {{.cols = kCols}, {.cols = kOutputs, .observed = true}};
      graph.ops = {
          Embed{table, ValueId{0}, 1.0F},
          Matmul{.x = ValueId{0}, .weight = backend->prepare_weight(spec).value(), .out = ValueId{1}, .act = act}};
      graph.labels = {"inputs", "product"};
      const auto step = backend->compile(graph, {kTokens, 1, 0, 1}, small_pool(*backend), GroupTiming::kOff).value();
      for (const std::int32_t n_tokens : token_counts) {
        CAPTURE(n_tokens);
        REQUIRE_OK(backend->wait(step->submit(test::uncached_tokens(n_tokens).view()).value(), {}));
        CHECK(std::isfinite(step->read_value(ValueId{1}).value().back()));
      }
    }
  }
}

namespace {

/// Random activations, or random int4 codes with a scale for each group of 32 columns.
class RandomMatrix final : public WeightSource {
 public:
  explicit RandomMatrix(std::int64_t n_cols) : n_cols_(n_cols) {}
  [[nodiscard]] float activation(std::int64_t row, std::int64_t k) const {
    return static_cast<float>(4.0 * random_unit(1, static_cast<std::uint64_t>(row * n_cols_ + k)) - 2.0);
  }
  [[nodiscard]] int code(std::int64_t row, std::int64_t k) const {
    return static_cast<int>(random_bits(2, static_cast<std::uint64_t>(row * n_cols_ + k)) % 16) - 8;
  }
  [[nodiscard]] float scale(std::int64_t row, std::int64_t group) const {
    return to_float(
        to_f16(static_cast<float>(0.01 + 0.1 * random_unit(3, static_cast<std::uint64_t>(row * n_cols_ + group)))));
  }
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    const std::int64_t n_groups = static_cast<std::int64_t>(scales.size()) / n_rows;
    for (std::int64_t i = 0; i < n_rows * n_cols_; ++i) {
      const std::int64_t row = first_row + i / n_cols_;
      if (scales.empty()) {
        reinterpret_cast<float*>(values.data())[i] = activation(row, i % n_cols_);
      } else {
        values[static_cast<std::size_t>(i)] = static_cast<std::byte>(code(row, i % n_cols_));
      }
    }
    for (std::int64_t i = 0; i < n_rows * n_groups; ++i) {
      scales[static_cast<std::size_t>(i)] = scale(first_row + i / n_groups, i % n_groups);
    }
    return {};
  }

 private:
  std::int64_t n_cols_;
};

}  // namespace

TEST_CASE(
    "products of quantized activations and int4 are those of plain loops, from few rows to as many as are unpacked") {
  constexpr std::int32_t kTokens = 170;
  constexpr std::int32_t kCols = 1056;  // more than a pass, and no multiple of one
  constexpr std::int32_t kOutputs = 48;
  const auto source = std::make_shared<RandomMatrix>(kCols);
  std::vector<double> expected;
  std::vector<double> magnitudes;
  for (std::int32_t token = 0; token < kTokens; ++token) {
    float largest = 0.0F;
    for (std::int32_t k = 0; k < kCols; ++k) largest = std::max(largest, std::fabs(source->activation(token, k)));
    const float s = largest / 127.0F;
    for (std::int32_t row = 0; row < kOutputs; ++row) {
      double sum = 0.0;
      double magnitude = 0.0;
      for (std::int32_t k = 0; k < kCols; ++k) {
        const double term = double{s} * std::nearbyint(source->activation(token, k) / s) *
                            double{source->scale(row, k / 32)} * source->code(row, k);
        sum += term;
        magnitude += std::fabs(term);
      }
      expected.push_back(sum);
      magnitudes.push_back(magnitude);
    }
  }
  for (const Isa isa : usable_isas()) {
    const std::unique_ptr<Backend> backend = create(option("isa", std::string(to_string(isa)))).value();
    WeightSpec table{.name = "x", .n_rows = kTokens, .n_cols = kCols, .encoding = WeightEncoding::kF32, .parts = {}};
    table.parts = {{kTokens, source}};
    WeightSpec weight{
        .name = "w", .n_rows = kOutputs, .n_cols = kCols, .encoding = WeightEncoding::kInt4Group32, .parts = {}};
    weight.parts = {{kOutputs, source}};
    StepGraph graph;
    graph.values = {{.cols = kCols}, {.cols = kOutputs, .observed = true}};
    graph.ops = {Embed{backend->prepare_weight(table).value(), ValueId{0}, 1.0F},
                 Matmul{.x = ValueId{0},
                        .weight = backend->prepare_weight(weight).value(),
                        .out = ValueId{1},
                        .act = ActQuant::kInt8PerRow}};
    graph.labels = {"inputs", "product"};
    const auto step = backend->compile(graph, {kTokens, 1, 0, 1}, small_pool(*backend), GroupTiming::kOff).value();
    for (const std::int32_t n_tokens : {1, 16, 33, 159, 160, kTokens}) {
      CAPTURE(to_string(isa), n_tokens);
      REQUIRE_OK(backend->wait(step->submit(test::uncached_tokens(n_tokens).view()).value(), {}));
      const std::vector<float> found = step->read_value(ValueId{1}).value();
      REQUIRE(found.size() == static_cast<std::size_t>(n_tokens) * kOutputs);
      int n_wrong = 0;
      for (std::size_t i = 0; i < found.size(); ++i) {
        // The error of an f32 sum of n terms is at most n rounding errors of the sum of their magnitudes.
        if (!(std::fabs(double{found[i]} - expected[i]) <= kCols * 0x1p-24 * magnitudes[i])) ++n_wrong;
      }
      CHECK(n_wrong == 0);
    }
  }
}

TEST_CASE("a traced step names the kernel that its rows ran through: many are multiplied with unpacked tiles") {
  BackendOptions options;
  options.n_threads = 1;
  options.extra = {{"isa", "scalar"}};
  const std::unique_ptr<Backend> backend = create(options).value();
  const WeightId table = backend->prepare_weight(counting_weight(64, 32)).value();
  WeightSpec dense{.name = "dense", .n_rows = 32, .n_cols = 32, .encoding = WeightEncoding::kBf16, .parts = {}};
  dense.parts = {{32, std::make_shared<ZeroRows>()}};
  WeightSpec mixture = dense;
  mixture.join = Join::kConcatRows;
  mixture.n_experts = 2;
  mixture.parts.assign(2, {16, std::make_shared<ZeroRows>()});
  StepGraph graph;
  graph.values = {{.cols = 32}, {.dtype = DType::kI32, .cols = 1}, {.cols = 1}, {.cols = 16}, {.cols = 32}};
  graph.ops = {Embed{table, ValueId{0}, 1.0F},
               Route{.x = ValueId{0},
                     .gate = backend->prepare_weight(counting_weight(2, 32)).value(),
                     .n_top = 1,
                     .expert = ValueId{1},
                     .weight = ValueId{2}},
               GroupedMatmul{.x = ValueId{0},
                             .expert = ValueId{1},
                             .weights = backend->prepare_weight(mixture).value(),
                             .out = ValueId{3},
                             .n_top = 1},
               Matmul{.x = ValueId{0}, .weight = backend->prepare_weight(dense).value(), .out = ValueId{4}}};
  graph.labels = {"inputs", "route", "experts", "dense"};
  const auto step = backend->compile(graph, {64, 1, 0, 1}, small_pool(*backend), GroupTiming::kOn).value();
  const auto kernel_for = [&](std::int32_t n_tokens, std::size_t group) {
    REQUIRE_OK(backend->wait(step->submit(test::uncached_tokens(n_tokens).view()).value(), {}));
    return step->groups()[group].kernel;
  };
  const std::string grouped = "grouped_matmul_bf16_f32acc_scalar";
  CHECK(kernel_for(1, 3) == "matmul_bf16_f32acc_scalar");
  CHECK(kernel_for(24, 3) == "matmul_bf16_f32acc_scalar");
  CHECK(kernel_for(24, 2) == grouped);
  CHECK(kernel_for(25, 3) == "unpacked bf16, matmul_f32_scalar");
  CHECK(kernel_for(64, 2) == grouped + " or unpacked bf16, grouped_matmul_f32_scalar");
}

TEST_CASE("sampling gives the same bits with any number of threads") {
  constexpr std::int32_t kRows = 5;
  constexpr std::int32_t kVocab = 40000;
  std::vector<std::vector<SampledToken>> sampled;
  for (const std::int32_t n_threads : {1, 2, 3}) {
    const std::unique_ptr<Backend> backend = create(threads(n_threads)).value();
    StepGraph graph;
    graph.values = {{.cols = kVocab}, {.rows = Rows::kLogits, .cols = kVocab}};
    graph.ops = {Embed{backend->prepare_weight(counting_weight(kRows, kVocab)).value(), ValueId{0}, 0.25F},
                 SelectRows{.x = ValueId{0}, .out = ValueId{1}}, Sample{.logits = ValueId{1}, .n_top = 3}};
    graph.labels = {"inputs", "rows", "sample"};
    const auto step = backend->compile(graph, {kRows, 1, kRows, 1}, small_pool(*backend), GroupTiming::kOff).value();
    const auto tokens = test::uncached_tokens(kRows);
    Batch batch = tokens.view();
    const std::vector<std::int32_t> rows = {0, 1, 2, 3, 4};
    const std::vector<SamplingParams> params = {
        {}, {.temperature = 1.0F}, {.temperature = 2.0F, .top_p = 0.9F, .seed = 9}, {.forbidden_id = kVocab - 1}, {}};
    batch.logit_rows = rows;
    batch.sampling = params;
    const auto result = backend->wait(step->submit(batch).value(), {});
    REQUIRE_OK(result);
    sampled.push_back(result->tokens);
  }
  for (const std::vector<SampledToken>& tokens : sampled) {
    REQUIRE(tokens.size() == kRows);
    CHECK(tokens[0].id == kVocab - 1);
    CHECK(tokens[3].id == kVocab - 2);
    for (std::size_t row = 0; row < tokens.size(); ++row) {
      CAPTURE(row);
      CHECK(tokens[row].id == sampled[0][row].id);
      CHECK(tokens[row].logprob == sampled[0][row].logprob);
      REQUIRE(tokens[row].top.size() == 3);
      CHECK(tokens[row].top[2].logprob == sampled[0][row].top[2].logprob);
    }
  }
}

/// Rows of which those from 100 on cannot be read.
class BrokenRows final : public WeightSource {
 public:
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte>,
                         std::span<float>) const override {
    if (first_row + n_rows <= 100) return {};
    return Error{ErrorCode::kIo, "row " + std::to_string(std::max<std::int64_t>(100, first_row))};
  }
};

TEST_CASE("the first of several rows that cannot be read is named, whatever the number of threads") {
  const std::unique_ptr<Backend> backend = create(threads(4)).value();
  WeightSpec spec{.name = "w", .n_rows = 4096, .n_cols = 8, .encoding = WeightEncoding::kF32, .parts = {}};
  spec.parts = {{4096, std::make_shared<BrokenRows>()}};
  for (int round = 0; round < 20; ++round) {
    const Result<WeightId> id = backend->prepare_weight(spec);
    REQUIRE_FALSE(id.has_value());
    CHECK(id.error().code == ErrorCode::kIo);
    CHECK(id.error().message == "weight w: row 100");
  }
}

TEST_CASE("a cache that the kernels have no layout for is refused with the reason") {
  const std::unique_ptr<Backend> backend = create(threads(1)).value();
  const auto message = [&](KvSpec spec) { return backend->create_kv_pool(spec, 4).error().message; };
  CHECK(message({.n_layers = 1, .n_kv_heads = 1, .head_dim = 32, .page_tokens = 8}) ==
        "cpu: KV cache: expected pages of a multiple of 16 tokens, found 8");
  CHECK(message({.n_layers = 1, .n_kv_heads = 1, .head_dim = 32, .page_tokens = 16, .dtype = DType::kI16}) ==
        "KV cache: expected f32, f16, bf16 or i8, found i16");
}

}  // namespace
}  // namespace secondsource::cpu
