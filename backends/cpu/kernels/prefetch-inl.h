#pragma once
// Prefetches of data that a kernel reads later.
//
// Both functions have to be always_inline: g++ 12 takes an inline function that only prefetches for one without effects, and dropped calls
// of it from 265 of the 686 functions that tests/codegen/prefetch_test.py looks at.

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
