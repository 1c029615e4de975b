#pragma once
// SS_VECTOR_CLONES before a function compiles one copy of it for each level of x86-64; the best copy that the CPU
// supports is chosen when the program is loaded. The file is compiled with -O3, and helper functions must be inlined to
// be part of each copy. Copies with FMA may contract a product and a sum into one operation. Where every CPU must give
// the same bits, either add no product to anything or compile the file with -ffp-contract=off. Sanitizers do not
// support this choice at load time, and clang does not accept these architecture names.

#if defined(__x86_64__) && defined(__OPTIMIZE__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define SS_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SS_VECTOR_CLONES
#endif
