// Reductions of 64-bit integers over a workgroup of gl_WorkGroupSize.x threads, a power of two. Every thread of the workgroup must call
// them, gets the result, and may call them again at once. Integers are added exactly, whatever the order.

shared uint64_t wide_scratch[gl_WorkGroupSize.x];

/// The sum of the threads' values.
uint64_t sum_wide(uint64_t value) {
  const uint thread = gl_LocalInvocationID.x;
  barrier();  // an earlier result has been read by all
  wide_scratch[thread] = value;
  barrier();
  for (uint n = gl_WorkGroupSize.x / 2u; n > 0u; n /= 2u) {
    if (thread < n) wide_scratch[thread] += wide_scratch[thread + n];
    barrier();
  }
  return wide_scratch[0];
}

/// The largest of the threads' values.
uint64_t largest_wide(uint64_t value) {
  const uint thread = gl_LocalInvocationID.x;
  barrier();  // an earlier result has been read by all
  wide_scratch[thread] = value;
  barrier();
  for (uint n = gl_WorkGroupSize.x / 2u; n > 0u; n /= 2u) {
    if (thread < n && wide_scratch[thread + n] > wide_scratch[thread]) wide_scratch[thread] = wide_scratch[thread + n];
    barrier();
  }
  return wide_scratch[0];
}

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
