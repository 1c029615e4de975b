// Checks that the device decodes weights in blocks of GGUF: every code in each of 32 columns, with scales and minima of all
// magnitudes, in the functions for tiles, for dot products and for embedding lookups.

#include "gpu/kernels/block_code.h"

#include <array>
#include <bit>
#include <random>
#include <vector>

#include "gpu/kernels/weight_code.h"
#include "packed_blocks.h"
#include "support/catch.h"

namespace secondsource::gpu {
namespace {

constexpr std::int32_t kColumns = 16 * 256;

/// The codes increase by one from column to column; each run of 32 columns starts one higher than the last, so that each of the 32
/// columns takes every code.
PackedBlocks make_row(WeightEncoding encoding) {
  std::mt19937 random(static_cast<unsigned>(encoding));
  return pack_blocks(encoding, kColumns, random, [](std::int32_t col) { return col + col / 32; });
}

WeightView view_of(const PackedBlocks& row, WeightEncoding encoding) {
  WeightView view = view_of_blocks(encoding, 1, kColumns);
  view.values = row.packed.data();
  return view;
}

std::uint32_t bits(float value) {
  return std::bit_cast<std::uint32_t>(value);
}

/// Checks the values given by unpack_block_part() and BlockGroup, kPart at a time: the product of a column with 1 is its value.
template <WeightEncoding kEncoding, int kPart>
void check_parts(const PackedBlocks& row, const WeightView& view) {
  for (int chunk = 0; chunk < view.n_cols / 32; ++chunk) {
    const Chunk codes = load_codes<kEncoding>(view, 0, chunk);
    BlockGroup<kEncoding> group;
    group.load(view, 0, chunk * 32);
    for (int part = 0; part < 32 / kPart; ++part) {
      float values[kPart];
      unpack_block_part<kEncoding, kPart>(codes.word, group.high, part, values);
      for (int i = 0; i < kPart; ++i) {
        const int col = part * kPart + i;
        CAPTURE(chunk, col);
        float found = 0.0F;
        group.add_scaled(values[i], 1.0F, col >> KnownCodes<kEncoding>::part_cols_log2, found);
        REQUIRE(found == row.values[static_cast<std::size_t>(chunk * 32 + col)]);  // == ignores the sign of zero
      }
    }
  }
}

}  // namespace

TEST_CASE("every code of every encoding in blocks has its value, as tiles, dot products and lookups decode it") {
  for (const WeightEncoding encoding : kBlockEncodings) {
    CAPTURE(encoding);
    const PackedBlocks row = make_row(encoding);
    const WeightView view = view_of(row, encoding);
    for (int vec = 0; vec < kColumns / 8; ++vec) {
      BlockVec stored;
      stored.load(view, 0, vec);
      float values[8];
      stored.unpack(view.blocks, vec, values);
      for (int i = 0; i < 8; ++i) {
        const int col = 8 * vec + i;
        CAPTURE(col);
        REQUIRE(bits(values[i]) == bits(row.values[static_cast<std::size_t>(col)]));
        REQUIRE(bits(weight_value(view, 0, col)) == bits(values[i]));
      }
    }
    with_known_encoding(encoding, [&]<WeightEncoding kEncoding>() {
      if constexpr (kIsBlocks<kEncoding>) {
        check_parts<kEncoding, 8>(row, view);
        check_parts<kEncoding, 4>(row, view);
      } else {
        FAIL("not in blocks");
      }
    });
  }
}

TEST_CASE("a row in blocks is unpacked to what was packed, and takes the bits that the documentation says") {
  // Bits per value, from docs/supported-models.md. The size of a row is rounded up to 16 bytes.
  constexpr std::array kBits = {3.125, 3.5625, 4.625, 5.625, 6.5625, 4.3125, 5.0, 5.5, 6.0, 4.5};
  for (std::size_t i = 0; i < kBlockEncodings.size(); ++i) {
    const WeightEncoding encoding = kBlockEncodings[i];
    CAPTURE(encoding);
    const PackedBlocks row = make_row(encoding);
    const double expected = kBits[i] * kColumns / 8.0;
    CHECK(static_cast<double>(row.packed.size()) >= expected);
    CHECK(static_cast<double>(row.packed.size()) <= expected + 16.0);
    CHECK(row.packed.size() % 16 == 0);
    std::vector<std::byte> codes(row.codes.size());
    std::vector<float> floats(row.floats.size());
    unpack_block_row(encoding, row.packed, codes, floats);
    CHECK(codes == row.codes);
    CHECK(floats == row.floats);
  }
}

}  // namespace secondsource::gpu
