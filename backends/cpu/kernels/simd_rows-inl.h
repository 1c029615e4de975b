#pragma once
// Operations on several vectors, for instruction sets that make them of operations on single vectors.

#include <cstdint>

namespace secondsource::cpu::SS_CPU_ISA {

/// Lane i is the largest value of rows[i], for the first n of sixteen rows; a NaN may count or not.
inline F32 max_of_rows(const F32* rows, int n) {
  alignas(64) float lanes[16] = {};
  for (int i = 0; i < n; ++i) lanes[i] = reduce_max(rows[i]);
  return load(lanes);
}
/// Lane i is the sum of rows[i], for the first n of sixteen rows.
inline F32 sums_of_rows(const F32* rows, int n) {
  alignas(64) float lanes[16] = {};
  for (int i = 0; i < n; ++i) lanes[i] = reduce_add(rows[i]);
  return load(lanes);
}

/// Stores 32 values: x, then y.
inline void store_bf16_pair(std::uint16_t* p, const F32& x, const F32& y) {
  store_bf16(p, x);
  store_bf16(p + 16, y);
}

}  // namespace secondsource::cpu::SS_CPU_ISA
