#pragma once
// Device-side conversions of core/half.h's 16-bit floats (round half to even) and core/e2m1.h's powers of two, and 16-byte loads and
// stores.

#include <cstring>
#include <type_traits>

#include "core/e2m1.h"
#include "core/half.h"
#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

template <typename To, typename From>
SS_DEVICE To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(static_cast<void*>(&to), &from, sizeof(To));
  return to;
}

SS_DEVICE float widen(float value) {
  return value;
}
SS_DEVICE float widen(Bf16 value) {
  return bits_as<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

SS_DEVICE float widen(E8m0 value) {
  constexpr std::uint32_t kLeast = 0x00400000U;  // 2^-127
  return bits_as<float>(value.bits == 0 ? kLeast : static_cast<std::uint32_t>(value.bits) << 23);
}

SS_DEVICE float widen(F16 value) {
#if defined(SS_GPU_CUDA)
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#elif defined(SS_GPU_HIP)
  return static_cast<float>(bits_as<_Float16>(value.bits));
#else
  return to_float(value);
#endif
}

/// Rounds to the nearest BF16; NaN stays NaN.
SS_DEVICE Bf16 narrow(float value) {
#if defined(__CUDA_ARCH__)
  Bf16 result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
#else
  const auto bits = bits_as<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  Bf16 result;
  result.bits = static_cast<std::uint16_t>((bits & 0x7fffffffU) > 0x7f800000U ? (bits >> 16) | 0x40U : rounded);
  return result;
#endif
}

/// Two values rounded to BF16, the first in the lower half of the word. One instruction on NVIDIA.
SS_DEVICE std::uint32_t narrow_pair(float first, float second) {
#if defined(__CUDA_ARCH__)
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#else
  return narrow(first).bits | static_cast<std::uint32_t>(narrow(second).bits) << 16;
#endif
}

/// 16 bytes, the widest load of a lane.
struct alignas(16) Chunk {
  std::uint32_t word[4];
};

/// Eight values rounded to BF16: one 16-byte vector.
SS_DEVICE Chunk narrow_vec(const float* values) {
  Chunk chunk;
  SS_UNROLL
  for (int i = 0; i < 4; ++i) chunk.word[i] = narrow_pair(values[2 * i], values[2 * i + 1]);
  return chunk;
}

/// Vector load of a struct of 32-bit words; the address is aligned for the type.
template <typename Words>
SS_DEVICE Words load_words(const void* address) {
  static_assert(sizeof(Words) % sizeof(std::uint32_t) == 0);
#if defined(SS_GPU_SHIM)
  shim::check_aligned(address, alignof(Words));
  shim::check_written(address, sizeof(Words));
#endif
  return *static_cast<const Words*>(address);
}
/// The address is a multiple of 16 bytes.
SS_DEVICE Chunk load_chunk(const void* address) {
  return load_words<Chunk>(address);
}
SS_DEVICE void store_chunk(void* address, const Chunk& chunk) {
#if defined(SS_GPU_SHIM)
  shim::check_aligned(address, sizeof(Chunk));
#if defined(SS_GPU_WARPGROUPS)
  shim::note_store(address, sizeof(Chunk));
#endif
#endif
  *static_cast<Chunk*>(address) = chunk;
}

/// The element of row `index` in the same column as `matrix`, an element of the first row. NVIDIA GPUs multiply two 32-bit numbers to a
/// 64-bit product in one instruction; without the inline assembly nvcc widens row_bytes before a loop and then needs four.
template <typename T>
SS_DEVICE T* row_at(T* matrix, int index, std::uint32_t row_bytes) {
#if defined(__CUDA_ARCH__)
  std::uint64_t offset;
  asm("mul.wide.u32 %0, %1, %2;" : "=l"(offset) : "r"(index), "r"(row_bytes));
#else
  const std::uint64_t offset = std::uint64_t{static_cast<std::uint32_t>(index)} * row_bytes;
#endif
  using Byte = std::conditional_t<std::is_const_v<T>, const std::byte, std::byte>;
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(matrix) + offset);
}

/// Returns the value and hides from AMD's compiler how it was computed. Otherwise the compiler may compute what depends on the value
/// once, before a loop, and keep it in registers throughout.
SS_DEVICE int without_history(int value) {
#if defined(__HIP_DEVICE_COMPILE__)
  asm("" : "+v"(value));
#endif
  return value;
}

/// Returns row + plane + offset, an address in one of several planes of a row. Left alone, AMD's compiler keeps the addresses of all planes
/// of all rows in registers throughout a loop, and spills others.
SS_DEVICE const std::byte* in_plane(const std::byte* row, int plane, int offset) {
#if defined(__HIP_DEVICE_COMPILE__)
  return row + without_history(plane + offset);
#else
  return row + plane + offset;
#endif
}

/// Two neighbouring values of 32 bits in one store; the address is a multiple of 8 bytes.
template <typename Value>
SS_DEVICE void store_pair(Value* address, Value first, Value second) {
#if defined(SS_GPU_SHIM)
  shim::check_aligned(address, 2 * sizeof(Value));
#endif
  struct alignas(2 * sizeof(Value)) Pair {
    Value first, second;
  };
  *reinterpret_cast<Pair*>(address) = {first, second};
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
