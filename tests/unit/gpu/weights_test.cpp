// Tests weights that several threads read and pack for the shim's device: reading them back must give the values of the sources, as
// decoded by lib/backend_kit.

#include "gpu/host/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "backend_kit/weight_rows.h"
#include "core/random.h"
#include "gpu/shim/device.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::gpu {
namespace {

/// Codes and scales that depend only on the row and the column.
class RandomRows final : public WeightSource {
 public:
  RandomRows(WeightEncoding encoding, std::int64_t n_cols, std::uint64_t seed, std::int64_t broken_row = -1)
      : encoding_(encoding), n_cols_(n_cols), seed_(seed), broken_row_(broken_row) {}

  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    ++n_reads;
    const auto n_scales = static_cast<std::size_t>(scales_per_row(encoding_, n_cols_));
    for (std::int64_t row = 0; row < n_rows; ++row) {
      const std::int64_t at = first_row + row;
      if (at == broken_row_) return Error{ErrorCode::kIo, "the file ends here"};
      for (std::int64_t col = 0; col < n_cols_; ++col) {
        put(values, static_cast<std::size_t>(row * n_cols_ + col),
            random_bits(seed_ + static_cast<std::uint64_t>(at), static_cast<std::uint64_t>(col)));
      }
      for (std::size_t i = 0; i < n_scales; ++i) {
        const bool is_zero_point = encoding_ == WeightEncoding::kInt4Group32Zero && i >= n_scales / 2;
        scales[static_cast<std::size_t>(row) * n_scales + i] =
            is_zero_point ? static_cast<float>(i % 7) - 3.0F
                          : 0.125F * static_cast<float>(1 + (at + static_cast<std::int64_t>(i)) % 5);
      }
    }
    return {};
  }

  mutable std::atomic<int> n_reads = 0;

 private:
  void put(std::span<std::byte> values, std::size_t index, std::uint64_t bits) const {
    if (encoding_ == WeightEncoding::kBf16) {
      const Bf16 value = to_bf16(static_cast<float>(bits % 1000) - 500.0F);
      std::memcpy(values.data() + index * sizeof(value), &value, sizeof(value));
    } else {
      const int largest = encoding_ == WeightEncoding::kInt8PerRow ? 127 : 7;
      values[index] = static_cast<std::byte>(static_cast<int>(bits % static_cast<unsigned>(2 * largest + 1)) - largest);
    }
  }

  WeightEncoding encoding_;
  std::int64_t n_cols_;
  std::uint64_t seed_;
  std::int64_t broken_row_;
};

constexpr std::int64_t kCols = 1000;  // not a multiple of the padding of rows

WeightSpec spec_of(WeightEncoding encoding, std::vector<WeightPart> parts, Join join) {
  WeightSpec spec{.name = "layers.0.weight",
                  .n_rows = 0,
                  .n_cols = kCols,
                  .encoding = encoding,
                  .parts = std::move(parts),
                  .join = join};
  for (const WeightPart& part : spec.parts) spec.n_rows += part.n_rows;
  return spec;
}

/// A source of zeros that records the size of the largest piece read.
class SizedRows final : public WeightSource {
 public:
  Result<void> read_rows(std::int64_t /*first_row*/, std::int64_t /*n_rows*/, std::span<std::byte> values,
                         std::span<float> /*scales*/) const override {
    std::ranges::fill(values, std::byte{0});
    std::size_t most = most_bytes;
    while (values.size() > most && !most_bytes.compare_exchange_weak(most, values.size())) {
    }
    return {};
  }
  mutable std::atomic<std::size_t> most_bytes = 0;
};

Result<void> prepared(const WeightSpec& spec, std::int64_t n_threads) {
  SS_TRY(const auto memory, DeviceMemory::create(shim::make_shim_device({})));
  Weights weights(*memory, n_threads);
  SS_TRY_VOID(weights.prepare(spec));
  return {};
}

Result<std::vector<float>> prepared_and_read_back(const WeightSpec& spec, std::int64_t n_threads) {
  SS_TRY(const auto memory, DeviceMemory::create(shim::make_shim_device({})));
  Weights weights(*memory, n_threads);
  SS_TRY(const WeightId id, weights.prepare(spec));
  return weights.unprepare(id);
}

std::vector<float> decoded(const WeightSpec& spec) {
  std::vector<float> out;
  REQUIRE_OK(pull_weight_rows(spec, [&](const WeightRows& rows) -> Result<void> {
    std::vector<float> some(static_cast<std::size_t>(rows.n_rows * spec.n_cols));
    decode_weight_rows(spec.encoding, spec.n_cols, rows, some);
    out.insert(out.end(), some.begin(), some.end());
    return {};
  }));
  return out;
}

TEST_CASE("a weight is the same whatever the number of threads that pack it") {
  for (const WeightEncoding encoding :
       {WeightEncoding::kBf16, WeightEncoding::kInt8PerRow, WeightEncoding::kInt4Group32Zero}) {
    // Two parts of several pieces each, with numbers of rows that the numbers of threads do not divide evenly.
    const auto first = std::make_shared<RandomRows>(encoding, kCols, 1);
    const auto second = std::make_shared<RandomRows>(encoding, kCols, 10'000);
    for (const Join join : {Join::kConcatRows, Join::kInterleaveGateUp}) {
      const WeightSpec spec = spec_of(encoding, {{2503, first}, {2503, second}}, join);
      const std::vector<float> expected = decoded(spec);
      for (const std::int64_t n_threads : {1, 3, 16}) {
        CAPTURE(to_string(encoding), n_threads);
        const int n_reads_before = first->n_reads;
        const auto found = prepared_and_read_back(spec, n_threads);
        REQUIRE_OK(found);
        CHECK(*found == expected);
        if (n_threads > 1) CHECK(first->n_reads - n_reads_before > 1);
      }
    }
  }
}

TEST_CASE("the experts of a mixture, whose gates and ups are joined one by one, are the same as well") {
  constexpr auto kEncoding = WeightEncoding::kInt4Group32;
  std::vector<WeightPart> parts;
  for (std::uint64_t part = 0; part < 6; ++part) {
    parts.push_back({1501, std::make_shared<RandomRows>(kEncoding, kCols, 10'000 * part)});
  }
  WeightSpec spec = spec_of(kEncoding, parts, Join::kInterleaveGateUp);
  spec.n_experts = 3;
  const auto found = prepared_and_read_back(spec, 2);
  REQUIRE_OK(found);
  CHECK(*found == decoded(spec));
}

TEST_CASE("the pieces of all threads together are at most what a backend may hold of a source") {
  constexpr std::int64_t kRows = 80'000;  // 160 MB
  const auto source = std::make_shared<SizedRows>();
  REQUIRE_OK(prepared(spec_of(WeightEncoding::kBf16, {{kRows, source}}, Join::kNone), 2));
  CHECK(source->most_bytes > 0);
  CHECK(source->most_bytes <= kMaxPullBytes / 2);
}

TEST_CASE("a weight of one row has the same values, too") {
  const WeightSpec spec =
      spec_of(WeightEncoding::kBf16, {{1, std::make_shared<RandomRows>(WeightEncoding::kBf16, kCols, 1)}}, Join::kNone);
  const auto found = prepared_and_read_back(spec, 16);
  REQUIRE_OK(found);
  CHECK(*found == decoded(spec));
}

TEST_CASE("a source that fails in one of several pieces fails the weight, by its name") {
  for (const std::int64_t broken_row : {0, 1700, 2502}) {
    const auto source = std::make_shared<RandomRows>(WeightEncoding::kBf16, kCols, 1, broken_row);
    const auto found = prepared_and_read_back(spec_of(WeightEncoding::kBf16, {{2503, source}}, Join::kNone), 3);
    CHECK_ERROR(found, ErrorCode::kIo, "weight layers.0.weight: the file ends here");
  }
}

}  // namespace
}  // namespace secondsource::gpu
