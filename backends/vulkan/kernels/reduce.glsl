// Reductions over a workgroup of gl_WorkGroupSize.x threads, whatever the size of a subgroup. Every thread of the workgroup must call
// them, gets the result, and may call them again at once.

#include "tree_reduction.glsl"

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
TREE_REDUCTION(worst_workgroup, float, reduce_scratch, worst)
