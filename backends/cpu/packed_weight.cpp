#include "cpu/packed_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "backend/weight_rows.h"
#include "core/check.h"
#include "core/checked.h"
#include "core/half.h"

namespace secondsource::cpu {
namespace {

// Pulled at once: enough to keep every thread packing, little beside the weights.
constexpr std::size_t kPullBytes = std::size_t{16} << 20;

template <typename T>
T read(const std::byte* bytes, std::int64_t index) {
  T value;
  std::memcpy(&value, bytes + static_cast<std::size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void write(std::byte* bytes, std::int64_t index, T value) {
  std::memcpy(bytes + static_cast<std::size_t>(index) * sizeof(T), &value, sizeof(T));
}

struct Layout {
  std::int64_t k_multiple;
  std::int64_t bytes_per_multiple;  ///< of one tile
};

Layout layout_of(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kF32:
      return {1, 64};
    case WeightEncoding::kBf16:
      return {2, 64};
    case WeightEncoding::kF16:
      return {1, 32};
    case WeightEncoding::kInt8PerRow:
      return {4, 64};
    case WeightEncoding::kInt4Group32:
      return {kInt4Group, kInt4GroupBytes};
  }
  return {1, 64};
}

/// Values of kBytes each, kUnit of one row adjacent: [k / kUnit][16][kUnit].
template <int kBytes, int kUnit>
void scatter_row(const std::byte* row, std::int64_t n_cols, int lane, std::byte* tile) {
  constexpr int kStep = kBytes * kUnit;
  const std::int64_t n_whole = n_cols / kUnit;
  std::byte* to = tile + lane * kStep;
  for (std::int64_t i = 0; i < n_whole; ++i, to += kTileRows * kStep) std::memcpy(to, row + i * kStep, kStep);
  std::memcpy(to, row + n_whole * kStep, static_cast<std::size_t>((n_cols % kUnit) * kBytes));
}

/// Where the nibble of column `column` of a group lives: byte offset within the group and shift.
struct NibblePlace {
  std::int64_t byte;
  int shift;
};
NibblePlace nibble_place(std::int64_t column, int lane) {
  const std::int64_t within = column % 8;
  // Bit 16 (k & 1) + 4 (k >> 1) of the row's 32-bit lane.
  const auto bit = static_cast<int>(16 * (within & 1) + 4 * (within >> 1));
  return {column / 8 * 64 + lane * 4 + bit / 8, bit % 8};
}

void scatter_int4_row(const std::byte* row, const float* scales, std::int64_t n_cols, int lane, std::byte* tile) {
  for (std::int64_t k = 0; k < n_cols; ++k) {
    std::byte* const group = tile + k / kInt4Group * kInt4GroupBytes;
    const NibblePlace place = nibble_place(k % kInt4Group, lane);
    const auto nibble = static_cast<unsigned>(read<std::int8_t>(row, k)) & 0xfU;
    group[place.byte] |= static_cast<std::byte>(nibble << place.shift);
    if (k % kInt4Group == 0) write(group + 256, lane, to_f16(scales[k / kInt4Group]).bits);
  }
}

void scatter_any_row(WeightEncoding encoding, const std::byte* row, const float* scales, std::int64_t n_cols, int lane,
                     std::byte* tile) {
  switch (encoding) {
    case WeightEncoding::kF32:
      return scatter_row<4, 1>(row, n_cols, lane, tile);
    case WeightEncoding::kBf16:
      return scatter_row<2, 2>(row, n_cols, lane, tile);
    case WeightEncoding::kF16:
      return scatter_row<2, 1>(row, n_cols, lane, tile);
    case WeightEncoding::kInt8PerRow:
      return scatter_row<1, 4>(row, n_cols, lane, tile);
    case WeightEncoding::kInt4Group32:
      return scatter_int4_row(row, scales, n_cols, lane, tile);
  }
}

std::int32_t sum_of_row(const std::byte* row, std::int64_t n_cols) {
  std::int32_t sum = 0;
  for (std::int64_t k = 0; k < n_cols; ++k) sum += read<std::int8_t>(row, k);
  return sum;
}

WeightSpec without_sources(const WeightSpec& spec) {
  WeightSpec plain = spec;
  for (WeightPart& part : plain.parts) part.source = nullptr;
  return plain;
}

}  // namespace

std::int64_t PackedWeight::packed_row(std::int64_t row) const {
  if (!is_interleaved()) return row;
  const std::int64_t half = spec.n_rows / 2;
  const std::int64_t within = row % half;
  const std::int64_t tile = 2 * (within / kTileRows) + (row >= half ? 1 : 0);
  return tile * kTileRows + within % kTileRows;
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
  PackedWeight weight;
  weight.spec = without_sources(spec);
  const Layout layout = layout_of(spec.encoding);
  weight.k_padded = round_up(spec.n_cols, layout.k_multiple);
  weight.tile_bytes = weight.k_padded / layout.k_multiple * layout.bytes_per_multiple;
  const std::int64_t n_groups = weight.is_interleaved() ? 2 : 1;
  weight.n_tiles = n_groups * ceil_divide<std::int64_t>(spec.n_rows / n_groups, kTileRows);
  const auto n_bytes = static_cast<std::size_t>(weight.n_tiles * weight.tile_bytes);
  SS_TRY(const std::span<std::byte> bytes, arena_.allocate(n_bytes));
  weight.tiles = bytes.data();
  float* scales = nullptr;
  std::int32_t* row_sums = nullptr;
  if (spec.encoding == WeightEncoding::kInt8PerRow) {
    const auto n = static_cast<std::size_t>(weight.n_tiles * kTileRows);
    SS_TRY(const std::span<std::byte> scale_bytes, arena_.allocate(n * sizeof(float)));
    SS_TRY(const std::span<std::byte> sum_bytes, arena_.allocate(n * sizeof(std::int32_t)));
    scales = reinterpret_cast<float*>(scale_bytes.data());
    row_sums = reinterpret_cast<std::int32_t*>(sum_bytes.data());
    weight.scales = {scales, n};
    weight.row_sums = {row_sums, n};
  }
  const auto row_bytes = spec.n_cols * static_cast<std::int64_t>(transfer_bytes_per_value(spec.encoding));
  const std::int64_t row_scales = scales_per_row(spec.encoding, spec.n_cols);
  const auto pack_piece = [&](const WeightRows& rows) -> Result<void> {
    // Rows of one tile stay with one thread; a piece lies in one part, so its tiles ascend.
    const std::int64_t first_tile = weight.packed_row(rows.first_row) / kTileRows;
    const std::int64_t last_tile = weight.packed_row(rows.first_row + rows.n_rows - 1) / kTileRows;
    const std::int64_t n_chunks = (last_tile - first_tile) / n_groups + 1;
    const std::int64_t skipped = weight.packed_row(rows.first_row) % kTileRows;
    pool_.run(n_chunks, [&](std::int64_t chunk, int) {
      const std::int64_t begin = std::max<std::int64_t>(0, chunk * kTileRows - skipped);
      const std::int64_t end = std::min(rows.n_rows, (chunk + 1) * kTileRows - skipped);
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t packed = weight.packed_row(rows.first_row + i);
        const std::byte* const row = rows.values.data() + i * row_bytes;
        const float* const scale = row_scales > 0 ? rows.scales.data() + i * row_scales : nullptr;
        scatter_any_row(spec.encoding, row, scale, spec.n_cols, static_cast<int>(packed % kTileRows),
                        bytes.data() + packed / kTileRows * weight.tile_bytes);
        if (scales == nullptr) continue;
        scales[packed] = *scale;
        row_sums[packed] = sum_of_row(row, spec.n_cols);
      }
    });
    return {};
  };
  SS_TRY_VOID(pull_weight_rows(spec, pack_piece, kPullBytes));
  return weight;
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
      case WeightEncoding::kInt4Group32: {
        const std::byte* const group = tile + k / kInt4Group * kInt4GroupBytes;
        const NibblePlace place = nibble_place(k % kInt4Group, lane);
        const unsigned nibble = (static_cast<unsigned>(group[place.byte]) >> place.shift) & 0xfU;
        const int q = static_cast<int>(nibble ^ 8U) - 8;
        value = to_float(read<F16>(group + 256, lane)) * static_cast<float>(q);
        break;
      }
    }
  }
}

}  // namespace secondsource::cpu
