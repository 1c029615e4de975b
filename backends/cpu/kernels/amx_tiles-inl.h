#pragma once
// The tile instructions of AMX (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2). amx_tile_model-inl.h has the same
// interface and models them in software.

#include <immintrin.h>

#include <cstdint>

#include "cpu/kernels/amx_config-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The AMX instructions. Assembly instead of intrinsics, because those of g++ 12 take the numbers of registers as literals only
/// and do not tell the compiler that a load reads memory, which may have been written just before, or that a configuration has
/// more than eight bytes.
struct Tiles {
  static void configure(const TileConfig& config) { __asm__ volatile("ldtilecfg %0" : : "m"(config)); }
  static void release() { _tile_release(); }
  static void fence_stores() { _mm_sfence(); }
  template <int kTile>
  static void zero() {
    __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  /// The lines of the tile are row_bytes apart.
  template <int kTile>
  static void load(const void* from, std::int64_t row_bytes = kLineBytes) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(row_bytes), "i"(kTile) : "memory");
  }
  /// Loads with TILELOADDT1, which does not displace what the first-level cache holds.
  template <int kTile>
  static void stream_load(const void* from, std::int64_t row_bytes) {
    __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(row_bytes), "i"(kTile) : "memory");
  }
  template <int kTile>
  static void store(void* to, std::int64_t row_bytes = kLineBytes) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(row_bytes), "i"(kTile) : "memory");
  }
  template <int kSum, int kLeft, int kRight>
  static void dot_bf16() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
  }
  template <int kSum, int kLeft, int kRight>
  static void dot_i8_i8() {
    __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
  }
  template <int kSum, int kLeft, int kRight>
  static void dot_u8_i8() {
    __asm__ volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
  }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
