#pragma once
// Prefetches of data that a kernel reads later.
//
// Functions that do nothing but prefetch have to be always_inline: g++ 12 takes them for functions without effects, and dropped calls of
// these two from 265 of 686 kernels (tests/codegen/prefetch_test.py).

#include "cpu/kernels/target-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// Into the first-level cache.
[[gnu::always_inline]] inline void prefetch(const void* p) {
  __builtin_prefetch(p, 0, 3);
}

/// Into the second-level cache, which can have more lines in flight than the first-level cache.
[[gnu::always_inline]] inline void prefetch_far(const void* p) {
  __builtin_prefetch(p, 0, 2);
}

}  // namespace secondsource::cpu::SS_CPU_ISA
