#include "gpu/host/block_rows.h"

#include <array>
#include <cstring>

#include "core/four_bit_curve.h"
#include "core/half.h"

namespace secondsource::gpu {
namespace {

/// Where the bits of eight columns begin in a plane that has `bits` bits for each code: the word, and the bit within each of its halves.
struct Place {
  std::size_t word;
  std::uint32_t bit;
};

Place place_in_plane(std::int32_t bits, std::size_t eight) {
  const std::size_t at = static_cast<std::size_t>(bits) * eight;
  return {.word = at / 4, .bit = static_cast<std::uint32_t>(at * 4 % 16)};
}

std::uint32_t load_word(std::span<const std::byte> plane, std::size_t word) {
  std::uint32_t value = 0;
  std::memcpy(&value, plane.data() + word * sizeof(value), sizeof(value));
  return value;
}

using EightCodes = std::array<std::uint32_t, 8>;

/// Stores bits [first, first + bits) of each of eight codes in a plane.
void add_bits(std::span<std::byte> plane, std::int32_t bits, std::size_t eight, const EightCodes& codes,
              std::int32_t first) {
  const std::uint32_t mask = (1U << bits) - 1;
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    word |= (codes[i] >> first & mask) << (static_cast<std::size_t>(bits) * (i / 2) + 16 * (i % 2));
  }
  const Place place = place_in_plane(bits, eight);
  word = load_word(plane, place.word) | word << place.bit;
  std::memcpy(plane.data() + place.word * sizeof(word), &word, sizeof(word));
}

/// Reads the bits that add_bits() has stored and adds them to the codes.
void take_bits(std::span<const std::byte> plane, std::int32_t bits, std::size_t eight, EightCodes& codes,
               std::int32_t first) {
  const Place place = place_in_plane(bits, eight);
  const std::uint32_t word = load_word(plane, place.word) >> place.bit;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] |= (word >> (static_cast<std::size_t>(bits) * (i / 2) + 16 * (i % 2)) & ((1U << bits) - 1)) << first;
  }
}

/// Entry n + 128 is the index of the number n on the curve.
constexpr std::array<std::uint8_t, 256> kIndexOnCurve = [] {
  std::array<std::uint8_t, 256> indices = {};
  for (std::size_t i = 0; i < kFourBitCurve.size(); ++i) {
    indices[static_cast<std::size_t>(kFourBitCurve[i] + 128)] = static_cast<std::uint8_t>(i);
  }
  return indices;
}();

/// The code that is stored for a value, a whole number from 0 on.
std::uint32_t stored_code(const BlockCodes& codes, std::int8_t value) {
  if (codes.is_on_curve) return kIndexOnCurve[static_cast<std::size_t>(value + 128)];
  return static_cast<std::uint32_t>(value + codes.zero);
}

int value_of_code(const BlockCodes& codes, std::uint32_t code) {
  return codes.is_on_curve ? int{kFourBitCurve[code]} : static_cast<int>(code) - codes.zero;
}

/// Calls visit(index, at, n_bytes) for every float of a row, in the order in which they are passed: `at` is its place in the packed row,
/// and n_bytes is 2 for a unit and 1 for a scale or a minimum.
template <typename Visit>
void for_each_float(WeightEncoding encoding, const BlockRow& row, std::size_t n_cols, const Visit& visit) {
  const BlockForm form = block_form(encoding);
  const auto n_parts = static_cast<std::size_t>(form.n_parts());
  const auto n_units = static_cast<std::size_t>(form.n_units());
  std::size_t index = 0;
  for (std::size_t block = 0; block < n_cols / static_cast<std::size_t>(form.n_cols); ++block) {
    for (std::size_t i = 0; i < n_units; ++i) {
      visit(index++, static_cast<std::size_t>(row.units_at) + (block * n_units + i) * sizeof(F16), sizeof(F16));
    }
    for (const std::int32_t plane : {row.scales_at, row.minima_at}) {
      if (plane == 0) continue;
      for (std::size_t i = 0; i < n_parts; ++i) {
        visit(index++, static_cast<std::size_t>(plane) + block * n_parts + i, std::size_t{1});
      }
    }
  }
}

}  // namespace

void pack_block_row(WeightEncoding encoding, std::span<const std::byte> codes, std::span<const float> floats,
                    std::span<std::byte> packed) {
  const BlockRow row = block_row(encoding, static_cast<std::int32_t>(codes.size()));
  const auto high = packed.subspan(static_cast<std::size_t>(row.high_at));
  for (std::size_t eight = 0; eight < codes.size() / 8; ++eight) {
    EightCodes stored;
    for (std::size_t i = 0; i < stored.size(); ++i) {
      stored[i] = stored_code(row.codes, static_cast<std::int8_t>(codes[8 * eight + i]));
    }
    add_bits(packed, row.codes.low_bits, eight, stored, 0);
    if (row.codes.high_bits > 0) add_bits(high, row.codes.high_bits, eight, stored, row.codes.low_bits);
  }
  if (!row.has_parts) {
    packed[static_cast<std::size_t>(row.scales_at)] = std::byte{1};
    if (row.codes.has_minima) packed[static_cast<std::size_t>(row.minima_at)] = std::byte{1};
  }
  for_each_float(encoding, row, codes.size(), [&](std::size_t index, std::size_t at, std::size_t n_bytes) {
    if (n_bytes == 1) {
      packed[at] =
          static_cast<std::byte>(static_cast<int>(floats[index]));  // scales from -128 to 127, minima from 0 to 63
    } else {
      const F16 unit = to_f16(floats[index]);
      std::memcpy(packed.data() + at, &unit, sizeof(unit));
    }
  });
}

void unpack_block_row(WeightEncoding encoding, std::span<const std::byte> packed, std::span<std::byte> codes,
                      std::span<float> floats) {
  const BlockRow row = block_row(encoding, static_cast<std::int32_t>(codes.size()));
  const auto high = packed.subspan(static_cast<std::size_t>(row.high_at));
  for (std::size_t eight = 0; eight < codes.size() / 8; ++eight) {
    EightCodes stored = {};
    take_bits(packed, row.codes.low_bits, eight, stored, 0);
    if (row.codes.high_bits > 0) take_bits(high, row.codes.high_bits, eight, stored, row.codes.low_bits);
    for (std::size_t i = 0; i < stored.size(); ++i) {
      codes[8 * eight + i] = static_cast<std::byte>(value_of_code(row.codes, stored[i]));
    }
  }
  for_each_float(encoding, row, codes.size(), [&](std::size_t index, std::size_t at, std::size_t n_bytes) {
    if (n_bytes == 1) {
      floats[index] = static_cast<float>(static_cast<std::int8_t>(packed[at]));
    } else {
      F16 unit;
      std::memcpy(&unit, packed.data() + at, sizeof(unit));
      floats[index] = to_float(unit);
    }
  });
}

}  // namespace secondsource::gpu
