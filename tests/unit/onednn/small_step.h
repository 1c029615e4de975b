#pragma once
// Helpers for the tests of this folder: a weight of small integers, and a step of a few tokens without attention.

#include <cstring>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "core/half.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/simple_batches.h"

namespace secondsource::onednn {

/// Row r, column c: an integer in [-8, 8], exact in every encoding.
inline float small_integer(std::int64_t row, std::int64_t column) {
  return static_cast<float>((row * 5 + column * 3) % 17 - 8);
}

/// Rows of small_integer() as f32, BF16 or int8 with the scale 2^(row % 3).
class SmallIntegers final : public WeightSource {
 public:
  SmallIntegers(WeightEncoding encoding, std::int64_t n_cols, std::int64_t first_row)
      : encoding_(encoding), n_cols_(n_cols), first_row_(first_row) {}
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    for (std::int64_t i = 0; i < n_rows * n_cols_; ++i) {
      const float value = small_integer(first_row_ + first_row + i / n_cols_, i % n_cols_);
      const Bf16 half = to_bf16(value);
      const auto integer = static_cast<std::int8_t>(value);
      if (encoding_ == WeightEncoding::kF32) std::memcpy(values.data() + i * 4, &value, 4);
      if (encoding_ == WeightEncoding::kBf16) std::memcpy(values.data() + i * 2, &half, 2);
      if (encoding_ == WeightEncoding::kInt8PerRow) std::memcpy(values.data() + i, &integer, 1);
    }
    for (std::size_t i = 0; i < scales.size(); ++i) {
      scales[i] = static_cast<float>(1 << ((first_row_ + first_row + static_cast<std::int64_t>(i)) % 3));
    }
    return {};
  }

 private:
  WeightEncoding encoding_;
  std::int64_t n_cols_;
  std::int64_t first_row_;
};

inline WeightSpec small_weight(WeightEncoding encoding, std::int64_t n_rows, std::int64_t n_cols,
                               Join join = Join::kNone) {
  WeightSpec spec{.name = "w", .n_rows = n_rows, .n_cols = n_cols, .encoding = encoding, .parts = {}, .join = join};
  const std::int64_t part_rows = join == Join::kInterleaveGateUp ? n_rows / 2 : n_rows;
  for (std::int64_t first = 0; first < n_rows; first += part_rows) {
    spec.parts.push_back({part_rows, std::make_shared<SmallIntegers>(encoding, n_cols, first)});
  }
  return spec;
}

/// The graph, compiled for steps of exactly n_tokens tokens.
inline std::unique_ptr<Step> compile_step(Backend& backend, const StepGraph& graph, std::int32_t n_tokens) {
  const KvSpec kv{.n_layers = 1, .n_kv_heads = 1, .head_dim = 32, .page_tokens = 16, .dtype = DType::kBf16};
  const KvPoolId pool = backend.create_kv_pool(kv, 1).value();
  return backend.compile(graph, {n_tokens, 1, 0, 1}, pool, GroupTiming::kOff).value();
}

/// Runs a step on these tokens, which are not in the cache. Returns the observed value.
inline std::vector<float> run_step(Backend& backend, Step& step, std::span<const std::int32_t> ids, ValueId observed) {
  const BatchStorage tokens = test::uncached_tokens(std::vector<std::int32_t>(ids.begin(), ids.end()));
  REQUIRE_OK(backend.wait(step.submit(tokens.view()).value(), {}));
  return step.read_value(observed).value();
}

}  // namespace secondsource::onednn
