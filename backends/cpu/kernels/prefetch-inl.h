#pragma once
// Prefetches of data that a kernel reads later.
//
// A function that does nothing but prefetch has to be always_inline. Otherwise g++ 12 treats it as a function without effects and removes
// calls of it: 265 of 686 kernels lost their prefetches in this way. tests/codegen/prefetch_test.py looks for the instructions.

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
