// Reductions of 64-bit integers over a workgroup of gl_WorkGroupSize.x threads, a power of two. Every thread of the workgroup must call
// them, gets the result, and may call them again at once. Integers are added exactly, whatever the order.

#include "tree_reduction.glsl"

shared uint64_t wide_scratch[gl_WorkGroupSize.x];

uint64_t sum_of(uint64_t a, uint64_t b) { return a + b; }
uint64_t larger_of(uint64_t a, uint64_t b) { return a > b ? a : b; }

/// The sum of the threads' values.
TREE_REDUCTION(sum_wide, uint64_t, wide_scratch, sum_of)

/// The largest of the threads' values.
TREE_REDUCTION(largest_wide, uint64_t, wide_scratch, larger_of)

/// The sum of the values of the threads with lower numbers.
uint64_t sum_before(uint64_t value) {
  const uint thread = gl_LocalInvocationID.x;
  barrier();  // an earlier result has been read by all
  wide_scratch[thread] = value;
  barrier();
  for (uint n = 1u; n < gl_WorkGroupSize.x; n *= 2u) {
    const uint64_t earlier = thread >= n ? wide_scratch[thread - n] : 0ul;
    barrier();
    wide_scratch[thread] += earlier;
    barrier();
  }
  return wide_scratch[thread] - value;
}
