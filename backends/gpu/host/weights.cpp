#include "gpu/host/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "backend/check_graph.h"
#include "backend_kit/for_each.h"
#include "backend_kit/host_device.h"
#include "backend_kit/weight_rows.h"
#include "core/checked.h"
#include "core/e4m3.h"
#include "gpu/host/block_rows.h"

namespace secondsource::gpu {

/// Neighbouring rows of device memory, packed and as the source delivers them. Where gates and ups are joined, they are rows of both parts.
struct WeightPiece {
  std::int64_t first_row = 0;  ///< in canonical order; with joined parts the row of the gate
  std::int64_t n_rows = 0;     ///< packed rows, of both parts where they are joined
  std::vector<std::byte> source_values;
  std::vector<float> source_floats;  ///< a global scale, scales, and zero points after them
  std::vector<std::byte> values;
  std::vector<std::byte> scales;
  std::vector<std::byte> zeros;
  std::vector<std::byte> global_scales;
  std::vector<std::byte> powers;  ///< f32, for a device with has_f16_tiles
  std::optional<Error> error;     ///< of the source
};

namespace {

std::int64_t packed_row_bytes(WeightEncoding encoding, std::int32_t padded_cols) {
  if (has_four_bit_codes(encoding)) return padded_cols / 2;
  return std::int64_t{padded_cols} * static_cast<std::int64_t>(transfer_bytes_per_value(encoding));
}

/// Index of a canonical row in the packed weight: gate and up rows alternate within their expert.
std::int64_t packed_row(const WeightSpec& spec, std::int64_t row) {
  if (spec.join != Join::kInterleaveGateUp) return row;
  const std::int64_t expert_rows = spec.n_rows / spec.n_experts;
  const std::int64_t half = expert_rows / 2;
  const std::int64_t within = row % expert_rows;
  return row - within + within % half * 2 + within / half;
}

/// The bit of a word at which a column begins. `shifts`: one of kernels.h's lists of such bits.
int shift_in_word(std::uint64_t shifts, std::size_t col) {
  return static_cast<int>(shifts >> (col % 8 * 8) & 31U);
}

/// The bits of a word of eight codes for the code of one column: an int4 value plus kInt4Zero, or an E2M1 number.
std::uint32_t bits_of_code(WeightEncoding encoding, std::size_t col, std::uint32_t code) {
  if (has_int4_codes(encoding)) return code << shift_in_word(kInt4Shifts, col);
  return (code & 7U) << shift_in_word(kE2m1Shifts, col) | code >> 3 << shift_in_word(kE2m1SignShifts, col);
}

/// The inverse of bits_of_code().
std::uint32_t code_of_word(WeightEncoding encoding, std::size_t col, std::uint32_t word) {
  if (has_int4_codes(encoding)) return word >> shift_in_word(kInt4Shifts, col) & 15U;
  return (word >> shift_in_word(kE2m1Shifts, col) & 7U) | (word >> shift_in_word(kE2m1SignShifts, col) & 1U) << 3;
}

/// The number of global scales of a row. These have a buffer of their own.
std::size_t global_scales_in_row(const WeightView& view) {
  return static_cast<std::size_t>(floats_before_group_scales(view.encoding));
}

/// The number of scales of a row that the buffer of scales in device memory holds.
std::size_t scales_in_row(const WeightView& view) {
  if (has_blocks(view.encoding)) return 0;  // rows of blocks have them among their planes
  const auto n = static_cast<std::size_t>(scales_per_row(view.encoding, view.padded_cols));
  if (view.encoding == WeightEncoding::kNvfp4Group16) return n - global_scales_in_row(view);
  return view.encoding == WeightEncoding::kInt4Group32Zero ? n / 2 : n;  // zero points follow
}

std::size_t zeros_in_row(const WeightView& view) {
  return view.encoding == WeightEncoding::kInt4Group32Zero ? scales_in_row(view) : 0;
}

/// Packs one row into its layout in device memory. `floats`: all floats of the row, as the source delivers them. `zeros`: the row's packed
/// zero points, if there are any.
void pack_row(const WeightView& view, std::span<const std::byte> values, std::span<const float> floats,
              std::span<const std::byte> zeros, std::span<std::byte> out) {
  if (has_blocks(view.encoding)) return pack_block_row(view.encoding, values, floats, out);
  if (!has_four_bit_codes(view.encoding)) {
    std::memcpy(out.data(), values.data(), values.size());
    return;
  }
  const int zero = has_int4_codes(view.encoding) ? kInt4Zero : 0;  // added to values; the zero point if none is stored
  constexpr auto kGroup = static_cast<std::size_t>(kScaleGroupSize);
  for (std::size_t i = 0; i < out.size() / sizeof(std::uint32_t); ++i) {
    std::uint32_t word = 0;
    for (std::size_t col = 8 * i; col < 8 * i + 8; ++col) {
      int code = zeros.empty() ? zero : static_cast<int>(zeros[col / kGroup]);  // past the last column a value of 0
      if (col < values.size()) code = static_cast<std::int8_t>(values[col]) + zero;
      word |= bits_of_code(view.encoding, col, static_cast<std::uint32_t>(code));
    }
    std::memcpy(out.data() + i * sizeof(word), &word, sizeof(word));
  }
}

/// Calls call.template operator()<type>(narrow) with the type of a scale in device memory: f32, but FP16 for groups of 32 columns, E8M0 for
/// MXFP4 and E4M3 for NVFP4. narrow() converts an f32 that is exact in that type.
template <typename Call>
auto with_scale_type(WeightEncoding encoding, const Call& call) {
  if (encoding == WeightEncoding::kInt8PerRow || has_fp8_codes(encoding)) {
    return call.template operator()<float>([](float scale) { return scale; });
  }
  if (encoding == WeightEncoding::kMxfp4Group32) return call.template operator()<E8m0>(to_e8m0);
  if (encoding == WeightEncoding::kNvfp4Group16) return call.template operator()<E4m3>(to_e4m3);
  return call.template operator()<F16>([](float scale) { return to_f16(scale); });
}

std::size_t scale_bytes_per_row(const WeightView& view) {
  return with_scale_type(view.encoding,
                         [&]<typename Scale>(const auto& /*narrow*/) { return scales_in_row(view) * sizeof(Scale); });
}

void pack_scales(const WeightView& view, std::span<const float> scales, std::byte* out) {
  with_scale_type(view.encoding, [&]<typename Scale>(const auto& narrow) {
    for (std::size_t i = 0; i < scales.size(); ++i) {
      const Scale scale = narrow(scales[i]);
      std::memcpy(out + i * sizeof(Scale), &scale, sizeof(Scale));
    }
  });
}

/// The inverse of pack_scales(): the scales of the row that begin at `from`.
std::vector<float> unpacked_scales(const WeightView& view, const std::byte* from) {
  std::vector<float> scales(scales_in_row(view));
  with_scale_type(view.encoding, [&]<typename Scale>(const auto& /*narrow*/) {
    for (std::size_t i = 0; i < scales.size(); ++i) {
      Scale scale;
      std::memcpy(&scale, from + i * sizeof(Scale), sizeof(Scale));
      if constexpr (std::is_same_v<Scale, float>) {
        scales[i] = scale;
      } else {
        scales[i] = to_float(scale);
      }
    }
  });
  return scales;
}

/// The power of two that brings the largest finite one of these values into [2^14, 2^15) when they are divided by it; 1 if all are 0. It
/// is at least 2^-112, so that its inverse is a number, too.
float power_into_f16(std::span<const float> values) {
  float largest = 0.0F;
  for (const float value : values) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  return largest > 0.0F ? std::ldexp(1.0F, std::max(std::ilogb(largest) - 14, -112)) : 1.0F;
}

/// Parts whose rows alternate in device memory.
std::int64_t n_joined(const WeightSpec& spec) {
  return spec.join == Join::kInterleaveGateUp ? 2 : 1;
}

/// Cuts a weight into pieces that several threads can pack at once. Any `n_threads` of them hold at most kMaxPullBytes of the source
/// together, but every piece has at least one row of each part.
std::vector<WeightPiece> pieces_of(const WeightSpec& spec, std::int64_t n_threads) {
  // Packing a smaller piece is assumed to take less time than starting a thread for it.
  constexpr std::int64_t kMinPieceBytes = std::int64_t{1} << 20;
  const std::int64_t row_bytes = spec.n_cols * static_cast<std::int64_t>(transfer_bytes_per_value(spec.encoding)) +
                                 scales_per_row(spec.encoding, spec.n_cols) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t most_bytes = static_cast<std::int64_t>(kMaxPullBytes) / n_threads;
  const std::int64_t wanted_rows = std::max(ceil_divide(spec.n_rows, n_threads), kMinPieceBytes / row_bytes);
  const std::int64_t of_each_part = std::max<std::int64_t>(
      1, std::min(ceil_divide(wanted_rows, n_joined(spec)), most_bytes / row_bytes / n_joined(spec)));
  std::vector<WeightPiece> pieces;
  std::int64_t part_begin = 0;
  for (std::size_t i = 0; i < spec.parts.size(); i += static_cast<std::size_t>(n_joined(spec))) {
    const std::int64_t part_rows = spec.parts[i].n_rows;
    for (std::int64_t row = 0; row < part_rows; row += of_each_part) {
      WeightPiece& piece = pieces.emplace_back();
      piece.first_row = part_begin + row;
      piece.n_rows = std::min(of_each_part, part_rows - row) * n_joined(spec);
    }
    part_begin += part_rows * n_joined(spec);
  }
  return pieces;
}

/// Reads a piece's rows and packs them, with their powers of two for tiles of FP16 if `has_powers`.
Result<void> read_and_pack(const WeightSpec& spec, const WeightView& view, bool has_powers, WeightPiece& piece) {
  const std::int64_t n_parts = n_joined(spec);
  const std::int64_t of_each_part = piece.n_rows / n_parts;
  const std::size_t value_bytes = static_cast<std::size_t>(spec.n_cols) * transfer_bytes_per_value(spec.encoding);
  const auto n_floats = static_cast<std::size_t>(scales_per_row(spec.encoding, spec.n_cols));
  piece.source_values.resize(static_cast<std::size_t>(of_each_part) * value_bytes);
  piece.source_floats.resize(static_cast<std::size_t>(of_each_part) * n_floats);
  const auto n_rows = static_cast<std::size_t>(piece.n_rows);
  const auto row_bytes = static_cast<std::size_t>(view.row_bytes);
  const std::size_t scale_bytes = scale_bytes_per_row(view);
  const std::size_t zero_bytes = zeros_in_row(view);
  const std::size_t n_globals = global_scales_in_row(view);
  const std::size_t n_scales = zero_bytes > 0 ? n_floats / 2 : n_floats - n_globals;  // zero points follow them
  piece.values.assign(n_rows * row_bytes, std::byte{0});
  piece.scales.assign(n_rows * scale_bytes, std::byte{0});
  piece.zeros.assign(n_rows * zero_bytes, std::byte{0});
  piece.global_scales.assign(n_rows * n_globals * sizeof(float), std::byte{0});
  piece.powers.assign(has_powers ? n_rows * sizeof(float) : 0, std::byte{0});
  std::vector<float> decoded(has_powers ? static_cast<std::size_t>(spec.n_cols) : 0);
  for (std::int64_t part = 0; part < n_parts; ++part) {
    const std::int64_t first_row = piece.first_row + part * (spec.n_rows / spec.n_experts / n_parts);
    SS_TRY_VOID(read_weight_rows(spec, first_row, of_each_part, piece.source_values, piece.source_floats));
    for (std::int64_t row = 0; row < of_each_part; ++row) {
      const auto from = static_cast<std::size_t>(row);
      const auto to = static_cast<std::size_t>(row * n_parts + part);
      const std::span<std::byte> zeros = std::span(piece.zeros).subspan(to * zero_bytes, zero_bytes);
      const std::span<const float> floats = std::span(piece.source_floats).subspan(from * n_floats, n_floats);
      if (scale_bytes > 0) {
        pack_scales(view, floats.subspan(n_globals, n_scales), piece.scales.data() + to * scale_bytes);
        for (std::size_t g = n_scales; zero_bytes > 0 && g < n_floats; ++g) {
          zeros[g - n_scales] = static_cast<std::byte>(static_cast<int>(floats[g]) + kInt4Zero);
        }
      }
      const auto globals = std::as_bytes(floats.first(n_globals));
      std::ranges::copy(globals, piece.global_scales.begin() + static_cast<std::ptrdiff_t>(to * globals.size()));
      pack_row(view, std::span(piece.source_values).subspan(from * value_bytes, value_bytes), floats, zeros,
               std::span(piece.values).subspan(to * row_bytes, row_bytes));
      if (!has_powers) continue;
      decode_weight_rows(spec.encoding, spec.n_cols,
                         {.first_row = first_row + row,
                          .n_rows = 1,
                          .values = std::span(piece.source_values).subspan(from * value_bytes, value_bytes),
                          .scales = floats},
                         decoded);
      const float power = power_into_f16(decoded);
      std::memcpy(piece.powers.data() + to * sizeof(power), &power, sizeof(power));
    }
  }
  return {};
}

}  // namespace

std::int64_t n_packing_threads(int n_asked_for) {
  constexpr int kMost = 16;  // a guess: the copies to the device are made by one thread
  return n_asked_for > 0 ? n_asked_for : std::min(n_usable_cpus(), kMost);
}

Result<WeightId> Weights::prepare(const WeightSpec& spec) {
  SS_TRY_VOID(check_weight_spec(spec));
  Weight weight;
  WeightView& view = weight.view;
  view.encoding = spec.encoding;
  view.n_rows = static_cast<std::int32_t>(spec.n_rows);
  view.n_cols = static_cast<std::int32_t>(spec.n_cols);
  view.padded_cols = round_up(view.n_cols, kWeightColumnStep);
  view.blocks = block_row(spec.encoding, view.n_cols);
  view.row_bytes = has_blocks(spec.encoding) ? view.blocks.n_bytes : packed_row_bytes(spec.encoding, view.padded_cols);
  const auto n_rows = static_cast<std::size_t>(spec.n_rows);
  const auto with_name = [&](const Error& error) { return error.with_context("weight " + spec.name); };
  auto values = memory_.allocate(MemoryPurpose::kWeights, n_rows * static_cast<std::size_t>(view.row_bytes));
  if (!values) return with_name(values.error());
  auto scales = memory_.allocate(MemoryPurpose::kWeights, n_rows * scale_bytes_per_row(view));
  if (!scales) return with_name(scales.error());
  auto zeros = memory_.allocate(MemoryPurpose::kWeights, n_rows * zeros_in_row(view));
  if (!zeros) return with_name(zeros.error());
  auto global_scales = memory_.allocate(MemoryPurpose::kWeights, n_rows * global_scales_in_row(view) * sizeof(float));
  if (!global_scales) return with_name(global_scales.error());
  const bool has_powers = memory_.device().properties().has_f16_tiles && !has_row_scale(spec.encoding);
  auto powers = memory_.allocate(MemoryPurpose::kWeights, has_powers ? n_rows * sizeof(float) : 0);
  if (!powers) return with_name(powers.error());
  weight.values = std::move(values).value();
  weight.scales = std::move(scales).value();
  weight.zeros = std::move(zeros).value();
  weight.global_scales = std::move(global_scales).value();
  weight.powers = std::move(powers).value();
  view.values = weight.values.data();
  const DeviceBuffer& of_rows = global_scales_in_row(view) > 0 ? weight.global_scales : weight.scales;
  view.row_scales = has_powers ? weight.powers.as<float>() : of_rows.as<float>();
  view.group_scales = weight.scales.as<F16>();
  view.group_powers = weight.scales.as<E8m0>();
  view.scale_pairs = weight.scales.as<E4m3Pair>();
  view.wide_scales = weight.scales.as<float>();
  view.group_zeros = weight.zeros.as<std::uint8_t>();
  SS_TRY_VOID(spec.n_rows == 1 ? fill_vector(spec, weight) : fill(spec, weight));
  specs_.push_back(spec);
  specs_.back().parts.clear();  // the sources may keep a file open
  weights_.push_back(std::move(weight));
  return WeightId{static_cast<std::int32_t>(specs_.size()) - 1};
}

Result<void> Weights::fill(const WeightSpec& spec, const Weight& weight) {
  std::vector<WeightPiece> pieces = pieces_of(spec, n_threads_);
  const ForEach in_parallel = for_each_on_threads(n_threads_);
  for (std::span<WeightPiece> rest = pieces; !rest.empty();) {
    const std::span<WeightPiece> now = rest.first(std::min(rest.size(), static_cast<std::size_t>(n_threads_)));
    rest = rest.subspan(now.size());
    in_parallel(static_cast<std::int64_t>(now.size()), [&](std::int64_t i) {
      WeightPiece& piece = now[static_cast<std::size_t>(i)];
      try {
        const bool has_powers = weight.powers.size_bytes() > 0;
        if (auto packed = read_and_pack(spec, weight.view, has_powers, piece); !packed) piece.error = packed.error();
      } catch (const std::bad_alloc&) {
        piece.error = Error{ErrorCode::kOutOfMemory, fmt::format("weight {}: no memory to pack its rows", spec.name)};
      }
    });
    for (WeightPiece& piece : now) {
      if (piece.error) return *piece.error;
      SS_TRY_VOID(upload(spec, weight, piece));
      piece = {};
    }
  }
  return {};
}

Result<void> Weights::upload(const WeightSpec& spec, const Weight& weight, const WeightPiece& piece) {
  const auto first = static_cast<std::size_t>(packed_row(spec, piece.first_row));
  const auto upload_rows = [&](const DeviceBuffer& buffer, const std::vector<std::byte>& rows) {
    const std::size_t row_bytes = rows.size() / static_cast<std::size_t>(piece.n_rows);
    return memory_.upload(buffer.data() + first * row_bytes, rows.data(), rows.size());
  };
  SS_TRY_VOID(upload_rows(weight.values, piece.values));
  SS_TRY_VOID(upload_rows(weight.scales, piece.scales));
  SS_TRY_VOID(upload_rows(weight.global_scales, piece.global_scales));
  SS_TRY_VOID(upload_rows(weight.powers, piece.powers));
  return upload_rows(weight.zeros, piece.zeros);
}

Result<void> Weights::fill_vector(const WeightSpec& spec, Weight& weight) {
  WeightPiece piece;
  piece.n_rows = 1;
  SS_TRY_VOID(read_and_pack(spec, weight.view, weight.powers.size_bytes() > 0, piece));
  SS_TRY_VOID(upload(spec, weight, piece));
  std::vector<float> decoded(static_cast<std::size_t>(spec.n_cols));
  decode_weight_rows(spec.encoding, spec.n_cols,
                     {.first_row = 0, .n_rows = 1, .values = piece.source_values, .scales = piece.source_floats},
                     decoded);
  auto vector = memory_.allocate(MemoryPurpose::kWeights, decoded.size() * sizeof(float));
  if (!vector) return vector.error().with_context("weight " + spec.name);
  weight.vector = std::move(vector).value();
  return memory_.upload(weight.vector.data(), decoded.data(), decoded.size() * sizeof(float));
}

Result<std::vector<float>> Weights::unprepare(WeightId id) {
  if (index_of(id) < 0 || slot(id) >= specs_.size()) {
    return Error{ErrorCode::kInvalidInput, fmt::format("no weight {}", index_of(id))};
  }
  const WeightSpec& spec = specs_[slot(id)];
  const Weight& weight = weights_[slot(id)];
  std::vector<std::byte> values(weight.values.size_bytes());
  std::vector<std::byte> scales(weight.scales.size_bytes());
  SS_TRY_VOID(memory_.download(values.data(), weight.values.data(), values.size()));
  SS_TRY_VOID(memory_.download(scales.data(), weight.scales.data(), scales.size()));
  std::vector<std::byte> zeros(weight.zeros.size_bytes());
  SS_TRY_VOID(memory_.download(zeros.data(), weight.zeros.data(), zeros.size()));
  std::vector<float> global_scales(weight.global_scales.size_bytes() / sizeof(float));
  SS_TRY_VOID(memory_.download(global_scales.data(), weight.global_scales.data(), weight.global_scales.size_bytes()));
  const auto n_cols = static_cast<std::size_t>(spec.n_cols);
  const auto row_bytes = static_cast<std::size_t>(weight.view.row_bytes);
  const std::size_t scale_bytes = scale_bytes_per_row(weight.view);
  std::vector<float> out(static_cast<std::size_t>(spec.n_rows) * n_cols);
  for (std::int64_t row = 0; row < spec.n_rows; ++row) {
    const auto from = static_cast<std::size_t>(packed_row(spec, row));
    std::vector<std::byte> plain(values.begin() + static_cast<std::ptrdiff_t>(from * row_bytes),
                                 values.begin() + static_cast<std::ptrdiff_t>((from + 1) * row_bytes));
    std::vector<float> row_scales = unpacked_scales(weight.view, scales.data() + from * scale_bytes);
    if (!global_scales.empty()) row_scales.insert(row_scales.begin(), global_scales[from]);
    const std::size_t n_zeros = zeros_in_row(weight.view);
    for (std::size_t i = 0; i < n_zeros; ++i) {
      row_scales.push_back(static_cast<float>(static_cast<int>(zeros[from * n_zeros + i]) - kInt4Zero));
    }
    if (has_blocks(spec.encoding)) {
      std::vector<std::byte> codes(n_cols);
      row_scales.resize(static_cast<std::size_t>(scales_per_row(spec.encoding, spec.n_cols)));
      unpack_block_row(spec.encoding, plain, codes, row_scales);
      plain = std::move(codes);
    } else if (has_four_bit_codes(spec.encoding)) {
      const int zero = has_int4_codes(spec.encoding) ? kInt4Zero : 0;
      std::vector<std::byte> unpacked(2 * plain.size());
      for (std::size_t col = 0; col < unpacked.size(); ++col) {
        std::uint32_t word = 0;
        std::memcpy(&word, plain.data() + col / 8 * sizeof(word), sizeof(word));
        unpacked[col] = std::byte(static_cast<int>(code_of_word(spec.encoding, col, word)) - zero);
      }
      plain = std::move(unpacked);
    }
    plain.resize(n_cols * transfer_bytes_per_value(spec.encoding));
    row_scales.resize(static_cast<std::size_t>(scales_per_row(spec.encoding, spec.n_cols)));
    const WeightRows rows{.first_row = row, .n_rows = 1, .values = plain, .scales = row_scales};
    decode_weight_rows(spec.encoding, spec.n_cols, rows,
                       std::span(out).subspan(static_cast<std::size_t>(row) * n_cols, n_cols));
  }
  return out;
}

}  // namespace secondsource::gpu
