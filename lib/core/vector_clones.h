#pragma once
// SS_VECTOR_CLONES before a function: a copy of its loops for each level of x86-64, of which the program takes the best
// that the CPU has when it is loaded. The file is compiled with -O3; helpers have to be inlined to be part of a copy.
// Copies with FMA may contract a product and a sum: where every CPU has to give the same bits no product is added to
// anything, or the file is compiled with -ffp-contract=off. Sanitizers cannot follow the choice, and clang knows no
// such names.

#if defined(__x86_64__) && defined(__OPTIMIZE__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define SS_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SS_VECTOR_CLONES
#endif
