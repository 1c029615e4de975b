// Reductions over a workgroup of gl_WorkGroupSize.x threads, whatever the size of a subgroup. Every thread of the workgroup must call
// them, gets the result, and may call them again at once.

shared float reduce_scratch[gl_WorkGroupSize.x];

/// The sum of the threads' values.
float sum_workgroup(float value) {
  const float sum = subgroupAdd(value);
  barrier();  // an earlier result has been read by all
  if (subgroupElect()) reduce_scratch[gl_SubgroupID] = sum;
  barrier();
  float total = 0.0;
  for (uint i = 0; i < gl_NumSubgroups; ++i) total += reduce_scratch[i];
  return total;
}

/// The largest of the threads' values; NaN wins over every number.
float worst_workgroup(float value) {
  barrier();
  reduce_scratch[gl_LocalInvocationID.x] = value;
  barrier();
  for (uint half_size = gl_WorkGroupSize.x / 2; half_size > 0; half_size /= 2) {
    if (gl_LocalInvocationID.x < half_size) {
      reduce_scratch[gl_LocalInvocationID.x] =
          worst(reduce_scratch[gl_LocalInvocationID.x], reduce_scratch[gl_LocalInvocationID.x + half_size]);
    }
    barrier();
  }
  return reduce_scratch[0];
}
