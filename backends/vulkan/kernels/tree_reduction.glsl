// A reduction over a workgroup of gl_WorkGroupSize.x threads, a power of two, as a function of any type: GLSL has no templates.

#ifndef TREE_REDUCTION

/// Defines Type name(Type value): the result of combine() over all threads' values, in an order that does not depend on timing. `scratch`
/// is shared memory with an element for each thread. Every thread of the workgroup must call the function, gets the result, and may call it
/// again at once.
#define TREE_REDUCTION(name, Type, scratch, combine)                                                              \
  Type name(Type value) {                                                                                         \
    const uint thread = gl_LocalInvocationID.x;                                                                   \
    barrier(); /* an earlier result has been read by all */                                                       \
    scratch[thread] = value;                                                                                      \
    barrier();                                                                                                    \
    for (uint n = gl_WorkGroupSize.x / 2u; n > 0u; n /= 2u) {                                                     \
      if (thread < n) scratch[thread] = combine(scratch[thread], scratch[thread + n]);                            \
      barrier();                                                                                                  \
    }                                                                                                             \
    return scratch[0];                                                                                            \
  }

#endif
