#include "cpu/packed_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <optional>

#include "backend/check_graph.h"
#include "backend_kit/weight_rows.h"
#include "core/check.h"
#include "core/checked.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/half.h"
#include "cpu/tile_blocks.h"
#include "cpu/tile_packing.h"
#include "cpu/tile_words.h"

namespace secondsource::cpu {
namespace {

/// Version of the packed layouts, part of the cache key. Increase it to invalidate cached weights.
constexpr std::string_view kLayoutName = "cpu tiles 2";

template <typename T>
T read(const std::byte* bytes, std::int64_t index) {
  T value;
  std::memcpy(&value, bytes + static_cast<std::size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

WeightSpec without_sources(const WeightSpec& spec) {
  WeightSpec plain = spec;
  for (WeightPart& part : plain.parts) part.source = nullptr;
  return plain;
}

/// The error of the first row that cannot be read, in whatever order the threads read the rows.
class FirstError {
 public:
  /// Whether an earlier row failed, so that this one need not be read.
  [[nodiscard]] bool is_before(std::int64_t row) const { return row_.load(std::memory_order_relaxed) < row; }
  void keep(std::int64_t row, Error error) {
    const std::scoped_lock lock(mutex_);
    if (is_before(row)) return;
    row_.store(row, std::memory_order_relaxed);
    error_ = std::move(error);
  }
  /// To be called when no thread is reading any more.
  [[nodiscard]] Result<void> result() const {
    if (error_) return *error_;
    return {};
  }

 private:
  std::mutex mutex_;
  std::atomic<std::int64_t> row_{INT64_MAX};
  std::optional<Error> error_;
};

}  // namespace

std::int64_t PackedWeight::packed_row(std::int64_t row) const {
  const std::int64_t expert_rows = spec.n_rows / spec.n_experts;
  const std::int64_t first = row / expert_rows * expert_tiles() * kTileRows;
  const std::int64_t of_expert = row % expert_rows;
  if (!is_interleaved()) return first + of_expert;
  const std::int64_t half = expert_rows / 2;
  const std::int64_t within = of_expert % half;
  const std::int64_t tile = 2 * (within / kTileRows) + (of_expert >= half ? 1 : 0);
  return first + tile * kTileRows + within % kTileRows;
}

bool PackedWeights::has(WeightId id) const {
  return index_of(id) >= 0 && static_cast<std::size_t>(index_of(id)) < weights_.size();
}

const PackedWeight& PackedWeights::at(WeightId id) const {
  SS_CHECK(has(id), "weight id out of range");
  return weights_[static_cast<std::size_t>(index_of(id))];
}

Result<WeightId> PackedWeights::prepare(const WeightSpec& spec) {
  const bool is_vector = spec.n_rows == 1 && spec.n_experts == 1;
  SS_TRY(PackedWeight weight, is_vector ? pack_vector(spec) : pack_tiles(spec));
  specs_.push_back(weight.spec);
  weights_.push_back(std::move(weight));
  return WeightId{static_cast<std::int32_t>(weights_.size()) - 1};
}

Result<PackedWeight> PackedWeights::pack_vector(const WeightSpec& spec) {
  PackedWeight weight;
  weight.spec = without_sources(spec);
  weight.is_vector = true;
  SS_TRY(const std::span<std::byte> bytes, arena_.allocate(static_cast<std::size_t>(spec.n_cols) * sizeof(float)));
  const std::span<float> values(reinterpret_cast<float*>(bytes.data()), static_cast<std::size_t>(spec.n_cols));
  SS_TRY_VOID(pull_weight_rows(spec, [&](const WeightRows& rows) -> Result<void> {
    decode_weight_rows(spec.encoding, spec.n_cols, rows, values);
    return {};
  }));
  weight.vector = values;
  return weight;
}

Result<PackedWeight> PackedWeights::pack_tiles(const WeightSpec& spec) {
  SS_TRY_VOID(check_weight_spec(spec));
  PackedWeight weight;
  weight.spec = without_sources(spec);
  const TileLayout layout = tile_layout(spec.encoding);
  weight.k_padded = round_up(spec.n_cols, layout.k_multiple);
  weight.tile_bytes = weight.k_padded / layout.k_multiple * layout.bytes_per_multiple;
  const std::int64_t n_groups = weight.is_interleaved() ? 2 : 1;
  const std::int64_t group_rows = spec.n_rows / spec.n_experts / n_groups;
  weight.n_tiles = spec.n_experts * n_groups * ceil_divide<std::int64_t>(group_rows, kTileRows);
  const auto n_bytes = static_cast<std::size_t>(weight.n_tiles * weight.tile_bytes);
  SS_TRY(const std::span<std::byte> bytes, arena_.allocate(n_bytes));
  weight.tiles = bytes.data();
  std::vector<std::span<std::byte>> buffers = {bytes};
  float* scales = nullptr;
  std::int32_t* row_sums = nullptr;
  const auto n_packed_rows = static_cast<std::size_t>(weight.n_tiles * kTileRows);
  const bool is_int8 = spec.encoding == WeightEncoding::kInt8PerRow;
  if (has_row_scale(spec.encoding)) {
    SS_TRY(const std::span<std::byte> scale_bytes, arena_.allocate(n_packed_rows * sizeof(float)));
    scales = reinterpret_cast<float*>(scale_bytes.data());
    weight.scales = {scales, n_packed_rows};
    buffers.push_back(scale_bytes);
  }
  if (is_int8) {
    SS_TRY(const std::span<std::byte> sum_bytes, arena_.allocate(n_packed_rows * sizeof(std::int32_t)));
    row_sums = reinterpret_cast<std::int32_t*>(sum_bytes.data());
    weight.row_sums = {row_sums, n_packed_rows};
    buffers.push_back(sum_bytes);
  }
  // The tiles are divided among the threads as in a matmul of one row.
  for (const std::span<std::byte> buffer : buffers) nodes_.place(buffer, weight.n_tiles / weight.tiles_per_column());
  SS_TRY_VOID(
      fill_through_cache(spec, buffers, [&] { return fill_tiles(spec, weight, bytes.data(), scales, row_sums); }));
  return weight;
}

Result<void> PackedWeights::fill_through_cache(const WeightSpec& spec, std::span<const std::span<std::byte>> buffers,
                                               const std::function<Result<void>()>& fill) {
  if (!cache_ || !can_be_kept(spec)) return fill();
  const ForEach on_all_threads = for_each_on(pool_);
  SS_TRY(const std::string key, cache_->key_of(spec, kLayoutName, on_all_threads));
  SS_TRY(const bool found, cache_->load(key, buffers, on_all_threads));
  if (found) return {};
  SS_TRY_VOID(fill());
  SS_TRY(const std::string key_afterwards, cache_->key_of(spec, kLayoutName, on_all_threads));
  if (key_afterwards != key) return {};  // a source changed while it was read
  const std::vector<std::span<const std::byte>> filled(buffers.begin(), buffers.end());
  return cache_->store(key, filled, on_all_threads);
}

Result<void> PackedWeights::fill_tiles(const WeightSpec& spec, const PackedWeight& weight, std::byte* tiles,
                                       float* scales, std::int32_t* row_sums) {
  std::vector<TilePacker> packers;
  for (int thread = 0; thread < pool_.n_threads(); ++thread) packers.emplace_back(spec.encoding, spec.n_cols);
  const std::int64_t n_groups = weight.is_interleaved() ? 2 : 1;
  const std::int64_t expert_rows = spec.n_rows / spec.n_experts;
  const std::int64_t group_rows = expert_rows / n_groups;
  FirstError failed;
  pool_.run(weight.n_tiles, [&](std::int64_t tile, int thread) {
    const std::int64_t of_expert = tile % weight.expert_tiles();
    const std::int64_t within = of_expert / n_groups * kTileRows;
    const std::int64_t first_row =
        tile / weight.expert_tiles() * expert_rows + of_expert % n_groups * group_rows + within;
    if (failed.is_before(first_row)) return;
    TilePacker& packer = packers[static_cast<std::size_t>(thread)];
    const std::int64_t n_rows = std::min<std::int64_t>(kTileRows, group_rows - within);
    const std::span<float> row_scales = packer.scales(n_rows);
    if (auto read = read_weight_rows(spec, first_row, n_rows, packer.values(n_rows), row_scales); !read) {
      return failed.keep(first_row, read.error());
    }
    const std::int64_t packed = tile * kTileRows;
    packer.pack(n_rows, tiles + tile * weight.tile_bytes);
    if (scales == nullptr) return;
    const std::int64_t floats_per_row = scales_per_row(spec.encoding, spec.n_cols);
    for (std::int64_t row = 0; row < n_rows; ++row) {
      scales[packed + row] = row_scales[static_cast<std::size_t>(row * floats_per_row)];
      if (row_sums != nullptr) row_sums[packed + row] = packer.row_sum(row);
    }
  });
  return failed.result();
}

void unpack_row(const PackedWeight& weight, std::int64_t row, std::span<float> out) {
  if (weight.is_vector) {
    std::ranges::copy(weight.vector, out.begin());
    return;
  }
  const std::int64_t packed = weight.packed_row(row);
  const auto lane = static_cast<int>(packed % kTileRows);
  const std::byte* const tile = weight.tiles + packed / kTileRows * weight.tile_bytes;
  for (std::int64_t k = 0; k < weight.spec.n_cols; ++k) {
    float& value = out[static_cast<std::size_t>(k)];
    switch (weight.spec.encoding) {
      case WeightEncoding::kF32:
        value = read<float>(tile, k * kTileRows + lane);
        break;
      case WeightEncoding::kF16:
        value = to_float(read<F16>(tile, k * kTileRows + lane));
        break;
      case WeightEncoding::kBf16:
        value = to_float(read<Bf16>(tile, (k / 2 * kTileRows + lane) * 2 + k % 2));
        break;
      case WeightEncoding::kInt8PerRow:
        value = weight.scales[static_cast<std::size_t>(packed)] *
                static_cast<float>(read<std::int8_t>(tile, (k / 4 * kTileRows + lane) * 4 + k % 4));
        break;
      case WeightEncoding::kFp8PerRow:
        value = weight.scales[static_cast<std::size_t>(packed)] *
                to_float(read<E4m3>(tile, (k / 4 * kTileRows + lane) * 4 + k % 4));
        break;
      case WeightEncoding::kFp8Group128: {
        const std::byte* const group = tile + k / kFp8GroupColumns * kFp8GroupBytes;
        const std::int64_t column = k % kFp8GroupColumns;
        value = read<float>(group + 16 * kFp8GroupColumns, lane) *
                to_float(read<E4m3>(group, (column / 4 * kTileRows + lane) * 4 + column % 4));
        break;
      }
      case WeightEncoding::kInt8Group32: {
        const std::byte* const group = tile + k / kGroupColumns * kInt8GroupBytes;
        const std::int64_t column = k % kGroupColumns;
        value = to_float(read<F16>(group + 16 * kGroupColumns, lane)) *
                static_cast<float>(read<std::int8_t>(group, (column / 4 * kTileRows + lane) * 4 + column % 4));
        break;
      }
      case WeightEncoding::kInt4Group32: {
        const std::byte* const group = tile + k / kGroupColumns * kInt4GroupBytes;
        const NibblePlace place = nibble_place(k % kGroupColumns, lane);
        const unsigned nibble = (static_cast<unsigned>(group[place.byte]) >> place.shift) & 0xfU;
        const int q = static_cast<int>(nibble ^ 8U) - 8;
        value = to_float(read<F16>(group + 256, lane)) * static_cast<float>(q);
        break;
      }
      case WeightEncoding::kMxfp4Group32: {
        const std::byte* const group = tile + k / kGroupColumns * kMxfp4GroupBytes;
        const NibblePlace place = nibble_place(k % kGroupColumns, lane);
        const unsigned nibble = (static_cast<unsigned>(group[place.byte]) >> place.shift) & 0xfU;
        value = to_float(read<E8m0>(group + 256, lane)) * to_float(E2m1{static_cast<std::uint8_t>(nibble)});
        break;
      }
      case WeightEncoding::kNvfp4Group16: {
        const std::byte* const block = tile + k / kNvfp4BlockColumns * kNvfp4BlockBytes;
        const std::int64_t column = k % kNvfp4BlockColumns;
        const NibblePlace place = nibble_place(column % kGroupColumns, lane);
        const auto pair = static_cast<unsigned>(block[column / kGroupColumns * 256 + place.byte]);
        const E2m1 code{static_cast<std::uint8_t>((pair >> place.shift) & 0xfU)};
        const E4m3 scale = read<E4m3>(block + 512, lane * 4 + column / kPartColumns);
        value = (to_float(scale) * to_float(code)) * weight.scales[static_cast<std::size_t>(packed)];
        break;
      }
      case WeightEncoding::kInt4Group32Zero: {
        const std::byte* const group = tile + k / kGroupColumns * kInt4ZeroGroupBytes;
        const NibblePlace place = nibble_place(k % kGroupColumns, lane);
        const unsigned nibble = (static_cast<unsigned>(group[place.byte]) >> place.shift) & 0xfU;
        const int q = static_cast<int>(nibble ^ 8U) - 8 - read<std::int8_t>(group + kInt4GroupBytes, lane);
        value = to_float(read<F16>(group + 256, lane)) * static_cast<float>(q);
        break;
      }
      default:
        value = value_in_blocks(weight.spec.encoding, tile, k, lane);
        break;
    }
  }
}

}  // namespace secondsource::cpu
