#pragma once
// The *-inl.h files are the kernels' source. Each isa_*.cpp includes them, is compiled with the flags of its instruction
// set, and defines before the first include:
//
//   #define SS_CPU_ISA avx2         // the namespace that everything in the *-inl.h files becomes part of
//   #define SS_CPU_SIMD_AVX2        // the vectors that simd-inl.h chooses; without one, the portable ones
//
// So one source becomes one set of kernels per instruction set (as in Highway's foreach_target.h, but with one object file per target,
// because the flags belong to files), and no two sets share a function that the linker could merge. A *-inl.h that is compiled on its own,
// as clangd does with an open file, gets the defaults below.

#include <cstddef>
#include <cstdint>

#include "cpu/kernels/kernel_table.h"

#ifndef SS_CPU_ISA
#define SS_CPU_ISA scalar
#endif

namespace secondsource::cpu::SS_CPU_ISA {

/// An unaligned load of any type.
template <typename T, typename U>
inline T read(const U* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof(T));
  return value;
}
template <typename T, typename U>
inline void write(U* to, const T& value) {
  __builtin_memcpy(to, &value, sizeof(T));
}

}  // namespace secondsource::cpu::SS_CPU_ISA
