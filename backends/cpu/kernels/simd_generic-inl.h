#pragma once
// Operations that are made of others, for instruction sets that have no code of their own for them.

#include <cstddef>
#include <cstdint>

namespace secondsource::cpu::SS_CPU_ISA {

/// Stores the low byte of each lane. kNibbleOrder: within each eight lanes, in the order 0, 4, 1, 5, 2, 6, 3, 7.
template <bool kNibbleOrder>
inline void store_bytes(std::byte* p, const I32& x) {
  constexpr int kOrder[8] = {0, 4, 1, 5, 2, 6, 3, 7};
  std::int32_t lanes[16];
  store_i32(lanes, x);
  for (int i = 0; i < 16; ++i) {
    p[i] = static_cast<std::byte>(lanes[kNibbleOrder ? i / 8 * 8 + kOrder[i % 8] : i]);
  }
}

/// Stores the low 16 bits of each lane. The order within each eight lanes is 0, 2, 1, 3, 4, 6, 5, 7, or with kNibbleOrder 0, 1, 4, 5, 2, 3,
/// 6, 7.
template <bool kNibbleOrder>
inline void store_words(std::byte* p, const I32& x) {
  constexpr int kQuadOrder[8] = {0, 2, 1, 3, 4, 6, 5, 7};
  constexpr int kOrder[8] = {0, 1, 4, 5, 2, 3, 6, 7};
  std::int32_t lanes[16];
  store_i32(lanes, x);
  for (int i = 0; i < 16; ++i) {
    write(p + 2 * i, static_cast<std::int16_t>(lanes[i / 8 * 8 + (kNibbleOrder ? kOrder : kQuadOrder)[i % 8]]));
  }
}

/// Whether any lane is above the limit. A NaN does not count as above.
inline bool any_above(const F32& x, float limit) {
  return reduce_max(x) > limit;
}

}  // namespace secondsource::cpu::SS_CPU_ISA
