#pragma once
// Sixteen lanes of f32 (F32) and of int32 (I32) and the operations on them, in the vectors of the instruction set that
// this file is compiled for (target-inl.h).

#include "cpu/kernels/prefetch-inl.h"

#if defined(SS_CPU_SIMD_AVX512)
#include "cpu/kernels/simd_avx512-inl.h"
#elif defined(SS_CPU_SIMD_AVX2)
#include "cpu/kernels/simd_avx2-inl.h"
#elif defined(SS_CPU_SIMD_SVE)
#include "cpu/kernels/simd_sve-inl.h"
#elif defined(SS_CPU_SIMD_NEON)
#include "cpu/kernels/simd_neon-inl.h"
#else
#include "cpu/kernels/simd_portable-inl.h"
#endif

#if !defined(SS_CPU_SIMD_AVX512)
#include "cpu/kernels/simd_rows-inl.h"
#endif
#if !defined(SS_CPU_SIMD_AVX512) && !defined(SS_CPU_SIMD_AVX2)
#include "cpu/kernels/simd_generic-inl.h"
#endif
