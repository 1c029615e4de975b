#include "host/amx_loops.h"

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "backend_kit/x86_features.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define SECONDSOURCE_AMX_LOOPS
#include <immintrin.h>
#endif

namespace secondsource {
namespace {

#ifdef SECONDSOURCE_AMX_LOOPS

#define SS_AMX_TARGET __attribute__((target("amx-tile,amx-bf16,amx-int8,avx512f")))

constexpr int kTiles = 8;  // of which 0 to 3 hold sums, 4 and 5 rows, 6 and 7 weights
constexpr int kTileLines = 16;
constexpr std::int64_t kLineBytes = 64;
constexpr std::int64_t kTileBytes = kTileLines * kLineBytes;
// A block takes 64 cycles, five times as long as a step of the vector loops, so that all loops run equally long.
constexpr std::int64_t kStepsPerBlock = 5;
// Operations of four products of 16 rows, 16 columns and 64 bytes of each operand's line.
constexpr double kBf16PerBlock = 4.0 * 16 * 16 * 32 * 2;
constexpr double kInt8PerBlock = 4.0 * 16 * 16 * 64 * 2;
// Sizes of the buffers from which operands are loaded: half of the 48 KiB of L1d, and a quarter of the 2 MiB of L2, of
// CPUs with AMX.
constexpr std::int64_t kL1Bytes = std::int64_t{24} << 10;
constexpr std::int64_t kL2Bytes = std::int64_t{512} << 10;

/// LDTILECFG's operand, palette 1: all tiles have 16 lines of 64 bytes.
struct alignas(64) FullTiles {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {};
  std::uint8_t rows[16] = {};
  FullTiles() {
    for (int tile = 0; tile < kTiles; ++tile) {
      bytes_per_row[tile] = kLineBytes;
      rows[tile] = kTileLines;
    }
  }
};
static_assert(sizeof(FullTiles) == 64);

SS_AMX_TARGET void begin_tiles(const FullTiles& config) {
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}

/// Returns the first sum, so that the compiler must keep the products.
SS_AMX_TARGET float end_tiles() {
  alignas(64) float sums[kTileBytes / sizeof(float)];
  _tile_stored(0, sums, kLineBytes);
  _tile_release();
  return sums[0];
}

template <AmxType kType>
SS_AMX_TARGET inline __attribute__((always_inline)) void multiply_block() {
  if constexpr (kType == AmxType::kBf16) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  } else {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
}

/// Four tiles of pseudo-random operands: BF16 numbers of either sign between 0.5 and 2, or any bytes.
template <AmxType kType>
std::vector<std::uint16_t> make_operands() {
  constexpr unsigned kOne = 0x3f80;
  constexpr unsigned kSignLastExponentBitAndFraction = 0x80ff;
  std::vector<std::uint16_t> values(4 * kTileBytes / sizeof(std::uint16_t));
  std::mt19937 random;  // NOLINT(bugprone-random-generator-seed): the same operands in every measurement
  for (std::uint16_t& value : values) {
    const auto bits = static_cast<unsigned>(random());
    value =
        static_cast<std::uint16_t>(kType == AmxType::kBf16 ? kOne ^ (bits & kSignLastExponentBitAndFraction) : bits);
  }
  return values;
}

/// The clock, and with it the rate, is higher for operands that are zeros than for any that are not.
enum class Operands : unsigned char { kZeros, kNumbers };

template <AmxType kType, Operands kOperands>
SS_AMX_TARGET float from_registers(std::int64_t n) {
  const FullTiles config;
  begin_tiles(config);
  if constexpr (kOperands == Operands::kNumbers) {
    static const std::vector<std::uint16_t> values = make_operands<kType>();
    const auto* const from = reinterpret_cast<const std::byte*>(values.data());
    __asm__ volatile("" : : "r"(from) : "memory");  // g++ 12 does not know that _tile_loadd reads memory
    _tile_loadd(4, from, kLineBytes);
    _tile_loadd(5, from + kTileBytes, kLineBytes);
    _tile_loadd(6, from + 2 * kTileBytes, kLineBytes);
    _tile_loadd(7, from + 3 * kTileBytes, kLineBytes);
  }
  for (std::int64_t block = 0; block < n / kStepsPerBlock; ++block) multiply_block<kType>();
  return end_tiles();
}

/// Operands from a buffer of kBytes, read again and again.
template <AmxType kType, std::int64_t kBytes>
SS_AMX_TARGET float from_cache(std::int64_t n) {
  std::vector<std::byte> storage(static_cast<std::size_t>(kBytes + kLineBytes));
  const auto misaligned = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(storage.data()) % kLineBytes);
  const std::byte* const begin = storage.data() + (kLineBytes - misaligned);
  const FullTiles config;
  begin_tiles(config);
  std::int64_t at = 0;
  for (std::int64_t block = 0; block < n / kStepsPerBlock; ++block) {
    const std::byte* const from = begin + at;
    _tile_loadd(4, from, kLineBytes);
    _tile_loadd(6, from + kTileBytes, kLineBytes);
    _tile_loadd(5, from + 2 * kTileBytes, kLineBytes);
    _tile_loadd(7, from + 3 * kTileBytes, kLineBytes);
    multiply_block<kType>();
    at += 4 * kTileBytes;
    if (at == kBytes) at = 0;
  }
  return end_tiles();
}
static_assert(kL1Bytes % (4 * kTileBytes) == 0 && kL2Bytes % (4 * kTileBytes) == 0,
              "the last block ends with the buffer");

#endif

}  // namespace

std::vector<InstructionLoop> amx_loops(AmxType type) {
#ifdef SECONDSOURCE_AMX_LOOPS
  static const bool is_usable = may_use_amx();
  if (!is_usable) return {};
  constexpr double kBf16 = kBf16PerBlock / kStepsPerBlock;
  constexpr double kInt8 = kInt8PerBlock / kStepsPerBlock;
  if (type == AmxType::kBf16) {
    return {{"AMX BF16, registers", {from_registers<AmxType::kBf16, Operands::kZeros>, kBf16}},
            {"AMX BF16, no zeros", {from_registers<AmxType::kBf16, Operands::kNumbers>, kBf16}, false},
            {"AMX BF16, from L1", {from_cache<AmxType::kBf16, kL1Bytes>, kBf16}, false},
            {"AMX BF16, from L2", {from_cache<AmxType::kBf16, kL2Bytes>, kBf16}, false}};
  }
  return {{"AMX INT8, registers", {from_registers<AmxType::kInt8, Operands::kZeros>, kInt8}},
          {"AMX INT8, no zeros", {from_registers<AmxType::kInt8, Operands::kNumbers>, kInt8}, false},
          {"AMX INT8, from L1", {from_cache<AmxType::kInt8, kL1Bytes>, kInt8}, false},
          {"AMX INT8, from L2", {from_cache<AmxType::kInt8, kL2Bytes>, kInt8}, false}};
#else
  (void)type;
  return {};
#endif
}

}  // namespace secondsource
