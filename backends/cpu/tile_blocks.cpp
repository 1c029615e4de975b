#include "cpu/tile_blocks.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/check.h"
#include "core/four_bit_curve.h"
#include "core/half.h"
#include "cpu/kernels/kernel_table.h"
#include "cpu/tile_words.h"

namespace secondsource::cpu {
namespace {

constexpr bool curve_is_that_of_the_kernels() {
  for (std::size_t i = 0; i < kFourBitCurve.size(); ++i) {
    if (kFourBitCurve[i] + 128 != kCurvePlus128[i]) return false;
  }
  return true;
}
static_assert(curve_is_that_of_the_kernels());

constexpr std::size_t kGroupWords = kGroupColumns / 4;
constexpr std::int64_t kNibbleBytes = std::int64_t{kTileRows} * kGroupColumns / 2;
constexpr std::int64_t kLaneBytes = 64;             // a word of each row
constexpr std::int64_t kHalfBytes = 2 * kTileRows;  // an FP16 number of each row

/// Which bits of a code are stored beside its nibble, in groups of 32 columns.
enum class UpperBits : std::uint8_t { kNone, kFifth, kFifthAndSixth };

struct BlockLayout {
  UpperBits upper = UpperBits::kNone;
  int zero = 0;  ///< codes are stored plus this number
  bool is_on_curve = false;
  bool has_quads = false;  ///< codes of two and three bits
};

BlockLayout layout_of(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kQ2K:
      return {.has_quads = true};
    case WeightEncoding::kQ3K:
      return {.zero = 4, .has_quads = true};
    case WeightEncoding::kQ5K:
    case WeightEncoding::kQ51:
      return {.upper = UpperBits::kFifth};
    case WeightEncoding::kQ50:
      return {.upper = UpperBits::kFifth, .zero = 16};
    case WeightEncoding::kQ6K:
      return {.upper = UpperBits::kFifthAndSixth, .zero = 32};
    case WeightEncoding::kIq4Xs:
    case WeightEncoding::kIq4Nl:
      return {.is_on_curve = true};
    default:
      SS_CHECK(has_blocks(encoding), "layout_of: an encoding in blocks of GGUF");
      return {};
  }
}

std::int64_t upper_bytes(UpperBits upper) {
  return upper == UpperBits::kNone ? 0 : upper == UpperBits::kFifth ? kLaneBytes : 2 * kLaneBytes;
}

/// Bytes of 32 columns with the integer scales and minima of their parts, but without the FP16 numbers of the block.
std::int64_t group_bytes(const BlockForm& form, const BlockLayout& layout) {
  const std::int64_t parts = form.n_parts() == 0 ? 0 : kGroupColumns / form.part_cols;
  return kNibbleBytes + upper_bytes(layout.upper) + parts * form.n_units() * kTileRows;
}

constexpr CodeBits kLowerTwo = {0, 2};
constexpr CodeBits kThird = {2, 1};
constexpr CodeBits kFifth = {4, 1};
constexpr CodeBits kFifthAndSixth = {4, 2};

/// The lanes of one vector, of 16 rows.
using Lanes = std::array<std::uint32_t, kRows>;

/// Stores the lanes with the bits of `mask` inverted. Inverting the sign bit of a code of n bits adds 2^(n - 1) to it: 16 to codes of five
/// bits.
void store_lanes(Lanes lanes, std::uint32_t mask, std::byte* to) {
  for (std::uint32_t& lane : lanes) lane ^= mask;
  std::memcpy(to, lanes.data(), sizeof lanes);
}

/// Stores the fifth and sixth bits of codes of six bits, after adding 32 to the codes.
void store_fifth_and_sixth_bits(const std::uint32_t* words, std::byte* to) {
  for (std::size_t half = 0; half < 2; ++half) {
    Lanes lanes{};
    add_bits(words + 4 * half * kRows, kFifthAndSixth, 0, lanes.data());
    add_bits(words + (4 * half + 2) * kRows, kFifthAndSixth, 4, lanes.data());
    store_lanes(lanes, 0xaaaaaaaaU, to + half * sizeof lanes);
  }
}

/// Stores the fifth bits of codes, or those of codes plus 16.
void store_fifth_bits(const std::uint32_t* words, bool plus_16, std::byte* to) {
  Lanes lanes{};
  for (unsigned vector = 0; vector < 4; ++vector) {
    add_bits(words + std::size_t{2} * vector * kRows, kFifth, 2 * vector, lanes.data());
  }
  store_lanes(lanes, plus_16 ? 0xffffffffU : 0U, to);
}

/// The indices in kFourBitCurve of the codes in `words`.
std::array<std::uint32_t, kGroupWords * kRows> places_on_curve(const std::uint32_t* words) {
  std::array<std::uint32_t, kGroupWords * kRows> places{};
  for (std::size_t i = 0; i < places.size(); ++i) {
    for (unsigned byte = 0; byte < 4; ++byte) {
      const auto code = static_cast<std::int8_t>(words[i] >> 8 * byte);
      const auto* const found = std::ranges::lower_bound(kFourBitCurve, code);
      places[i] |= static_cast<std::uint32_t>(found - kFourBitCurve.begin()) << 8 * byte;
    }
  }
  return places;
}

/// Stores 64 columns of codes of two bits or, if `third_bits` is not null, of codes of three bits plus 4. words: 16 for each row.
void store_quad(const std::uint32_t* words, std::byte* to, std::byte* third_bits) {
  Lanes thirds{};
  for (unsigned part = 0; part < kQuadParts; ++part) {
    Lanes lanes{};
    for (unsigned half = 0; half < 2; ++half) {
      const std::uint32_t* const of_eight = words + std::size_t{4 * part + 2 * half} * kRows;
      add_bits(of_eight, kLowerTwo, 4 * half, lanes.data());
      add_bits(of_eight, kThird, 4 * (part % 2) + 2 * half, thirds.data());
    }
    store_lanes(lanes, 0, to + part * sizeof lanes);
    if (part % 2 == 0) continue;
    if (third_bits != nullptr) store_lanes(thirds, 0xffffffffU, third_bits + part / 2 * sizeof thirds);
    thirds = {};
  }
}

/// Packs one block after the other: its codes, then its scales and minima.
class BlockPacker {
 public:
  BlockPacker(WeightEncoding encoding, const BlockRows& rows)
      : rows_(rows), form_(block_form(encoding)), layout_(layout_of(encoding)), bytes_(block_tile_bytes(encoding)) {}

  void pack(std::int64_t n_blocks, std::byte* tile) {
    for (std::int64_t block = 0; block < n_blocks; ++block, tile += bytes_) {
      floats_ = rows_.floats + block * form_.n_floats();
      std::byte* units = tile;
      for (std::int64_t at = 0; at < form_.n_cols;) {
        const std::int64_t column = block * form_.n_cols + at;
        units = layout_.has_quads ? pack_quad(column, at, units) : pack_group(column, at, units);
        at += layout_.has_quads ? 2 * kGroupColumns : kGroupColumns;
      }
      store_halves(floats_, rows_.float_stride, units);
      if (form_.has_minima) store_halves(floats_ + 1, rows_.float_stride, units + kHalfBytes);
    }
  }

 private:
  /// The words of 32 columns from `column` on, a multiple of 32. The words of a whole cache line, 64 columns, are transposed at once.
  const std::uint32_t* words_at(std::int64_t column) {
    const std::size_t in_line = static_cast<std::size_t>(column) % kLineBytes / sizeof(std::uint32_t);
    if (in_line == 0) transpose_block(rows_.codes + column, rows_.stride, words_.data());
    return words_.data() + in_line * kRows;
  }

  [[nodiscard]] const float* scale_of(std::int64_t part) const { return floats_ + form_.n_units() + part; }
  [[nodiscard]] const float* minimum_of(std::int64_t part) const { return scale_of(part) + form_.n_parts(); }

  std::byte* pack_group(std::int64_t column, std::int64_t at, std::byte* to) {
    const std::uint32_t* const words = words_at(column);
    if (layout_.is_on_curve) {
      store_nibbles(places_on_curve(words).data(), to);
    } else {
      store_nibbles(words, to);
    }
    to += kNibbleBytes;
    if (layout_.upper == UpperBits::kFifth) store_fifth_bits(words, layout_.zero != 0, to);
    if (layout_.upper == UpperBits::kFifthAndSixth) store_fifth_and_sixth_bits(words, to);
    to += upper_bytes(layout_.upper);
    if (form_.n_parts() == 0) return to;
    for (std::int64_t part = at / form_.part_cols; part < (at + kGroupColumns) / form_.part_cols; ++part) {
      store_bytes(scale_of(part), rows_.float_stride, to);
      to += kTileRows;
      if (!form_.has_minima) continue;
      store_bytes(minimum_of(part), rows_.float_stride, to);
      to += kTileRows;
    }
    return to;
  }

  std::byte* pack_quad(std::int64_t column, std::int64_t at, std::byte* to) {
    std::byte* const third_bits = form_.has_minima ? nullptr : to + kQuadParts * kLaneBytes;
    store_quad(words_at(column), to, third_bits);
    to += kQuadParts * kLaneBytes + (form_.has_minima ? 0 : 2 * kLaneBytes);
    for (std::size_t row = 0; row < kRows; ++row) {
      for (std::int64_t part = 0; part < kQuadParts; ++part) {
        const std::int64_t of_block = at / form_.part_cols + part;
        const auto scale = static_cast<int>(scale_of(of_block)[row * rows_.float_stride]);
        const int byte = form_.has_minima
                             ? scale | static_cast<int>(minimum_of(of_block)[row * rows_.float_stride]) << 4
                             : scale + 32;
        to[static_cast<std::int64_t>(row) * 4 + part] = static_cast<std::byte>(byte);
      }
    }
    return to + kLaneBytes;
  }

  BlockRows rows_;
  BlockForm form_;
  BlockLayout layout_;
  std::int64_t bytes_;
  const float* floats_ = nullptr;  ///< those of the current block in the first row
  WordBlock words_{};
};

template <typename T>
T read(const std::byte* bytes, std::int64_t index) {
  T value;
  std::memcpy(&value, bytes + static_cast<std::size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

/// n_bits bits of a byte, from bit `first` on.
int bits_of(std::byte byte, std::int64_t first, int n_bits) {
  return static_cast<int>(byte) >> first & ((1 << n_bits) - 1);
}

/// A code and the integer scale and minimum of its part, which are 1 where a block is one part.
struct StoredCode {
  int code = 0;
  int scale = 1;
  int minimum = 1;
};

/// The code of column `k` (below 32) of a group, and the integers of its part.
StoredCode code_in_group(const BlockForm& form, const BlockLayout& layout, const std::byte* group, std::int64_t k,
                         int lane) {
  const NibblePlace place = nibble_place(k, lane);
  StoredCode stored{.code = bits_of(group[place.byte], place.shift, 4)};
  const std::byte* next = group + kNibbleBytes;
  if (layout.upper != UpperBits::kNone) {
    // A byte of the lane has two bits for each vector of eight columns where codes have five bits, and four where they have six.
    const int n_bits = layout.upper == UpperBits::kFifth ? 1 : 2;
    const std::int64_t vectors_of_lane = layout.upper == UpperBits::kFifth ? 4 : 2;
    const std::int64_t vector = k / 8;
    const std::byte* const lanes = next + vector / vectors_of_lane * kLaneBytes;
    const std::int64_t first = vector % vectors_of_lane * 2 * n_bits + (place.shift == 0 ? 0 : n_bits);
    stored.code |= bits_of(lanes[lane * 4 + place.byte % 4], first, n_bits) << 4;
  }
  next += upper_bytes(layout.upper);
  if (form.n_parts() == 0) return stored;
  next += k / form.part_cols * form.n_units() * kTileRows;
  stored.scale = read<std::int8_t>(next, lane);
  if (form.has_minima) stored.minimum = read<std::int8_t>(next + kTileRows, lane);
  return stored;
}

/// The same for column `k` (below 64) of a quad.
StoredCode code_in_quad(const BlockForm& form, const std::byte* quad, std::int64_t k, int lane) {
  const std::int64_t part = k / kPartColumns;
  const std::int64_t half = k % kPartColumns / 8;
  const NibblePlace place = nibble_place(k % 8, lane);
  const int is_high = place.shift == 0 ? 0 : 1;
  StoredCode stored{.code = bits_of(quad[part * kLaneBytes + place.byte], 4 * half + 2 * is_high, 2)};
  const std::byte* next = quad + kQuadParts * kLaneBytes;
  if (!form.has_minima) {
    const std::byte third_bits = next[part / 2 * kLaneBytes + place.byte];
    stored.code |= bits_of(third_bits, 4 * (part % 2) + 2 * half + is_high, 1) << 2;
    next += 2 * kLaneBytes;
  }
  const std::byte of_part = next[lane * 4 + part];
  stored.scale = form.has_minima ? bits_of(of_part, 0, 4) : static_cast<int>(of_part) - 32;
  stored.minimum = bits_of(of_part, 4, 4);
  return stored;
}

}  // namespace

std::int64_t block_tile_bytes(WeightEncoding encoding) {
  const BlockForm form = block_form(encoding);
  const BlockLayout layout = layout_of(encoding);
  const std::int64_t units = form.n_units() * kHalfBytes;
  if (layout.has_quads) return kBlockQuads * (form.has_minima ? kQ2KQuadBytes : kQ3KQuadBytes) + units;
  return form.n_cols / kGroupColumns * group_bytes(form, layout) + units;
}

void pack_blocks(WeightEncoding encoding, std::int64_t n_cols, const BlockRows& rows, std::byte* tile) {
  BlockPacker(encoding, rows).pack(n_cols / block_form(encoding).n_cols, tile);
}

float value_in_blocks(WeightEncoding encoding, const std::byte* tile, std::int64_t k, int lane) {
  const BlockForm form = block_form(encoding);
  const BlockLayout layout = layout_of(encoding);
  const std::byte* const block = tile + k / form.n_cols * block_tile_bytes(encoding);
  const std::byte* const units = block + block_tile_bytes(encoding) - form.n_units() * kHalfBytes;
  const std::int64_t step_cols = layout.has_quads ? kQuadParts * kPartColumns : kGroupColumns;
  const std::int64_t step_bytes = (units - block) / (form.n_cols / step_cols);
  const std::byte* const step = block + k % form.n_cols / step_cols * step_bytes;
  const StoredCode stored = layout.has_quads ? code_in_quad(form, step, k % step_cols, lane)
                                             : code_in_group(form, layout, step, k % step_cols, lane);
  const int code =
      layout.is_on_curve ? kFourBitCurve[static_cast<std::size_t>(stored.code)] : stored.code - layout.zero;
  const float scale = to_float(read<F16>(units, lane)) * static_cast<float>(stored.scale);
  const float product = scale * static_cast<float>(code);
  if (!form.has_minima) return product;
  return product - to_float(read<F16>(units + kHalfBytes, lane)) * static_cast<float>(stored.minimum);
}

}  // namespace secondsource::cpu
