#include "host/limit_loops.h"

#include <cstring>

#include "backend_kit/x86_features.h"
#include "host/amx_loops.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define SECONDSOURCE_X86_LOOPS
#include <immintrin.h>
#endif

namespace secondsource {
namespace {

// Independent accumulators: at least the latency of a multiply-add (4 to 6 cycles) times the two started per cycle.
constexpr int kChains = 12;

// Hides a value from the compiler, so that it can neither fold nor hoist the work.
float opaque(float value) {
  asm volatile("" : "+m"(value));
  return value;
}

using Float4 = float __attribute__((vector_size(16)));

float read_portable(const std::byte* begin, std::size_t n_bytes) {
  Float4 sums[4] = {};
  for (std::size_t i = 0; i < n_bytes; i += 64) {
    for (std::size_t lane = 0; lane < 4; ++lane) {
      Float4 value;
      std::memcpy(&value, begin + i + lane * 16, sizeof(value));
      sums[lane] += value;
    }
  }
  const Float4 sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return sum[0] + sum[1] + sum[2] + sum[3];
}

float f32_portable(std::int64_t n) {
  const float start = opaque(0.5F);
  const Float4 x{start, start, start, start};
  Float4 sums[kChains] = {};
  for (std::int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (Float4& sum : sums) sum = sum * x + x;
  }
  float total = 0.0F;
  for (const Float4& sum : sums) total += sum[0];
  return total;
}

#ifdef SECONDSOURCE_X86_LOOPS

// Prefetching 64 cache lines ahead saturates one core of Zen 4 (November 2026).
constexpr std::size_t kPrefetchBytes = 4096;

__attribute__((target("avx2,fma"))) float read_avx2(const std::byte* begin, std::size_t n_bytes) {
  __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  const auto* from = reinterpret_cast<const float*>(begin);
  for (std::size_t i = 0; i < n_bytes / 4; i += 32) {
    _mm_prefetch(reinterpret_cast<const char*>(from + i) + kPrefetchBytes, _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(from + i) + kPrefetchBytes + 64, _MM_HINT_T0);
#pragma GCC unroll 4
    for (std::size_t lane = 0; lane < 4; ++lane) {
      sums[lane] = _mm256_add_ps(sums[lane], _mm256_loadu_ps(from + i + lane * 8));
    }
  }
  float lanes[8];
  _mm256_storeu_ps(lanes, _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
  return lanes[0] + lanes[7];
}

__attribute__((target("avx2,fma"))) float f32_avx2(std::int64_t n) {
  const __m256 x = _mm256_set1_ps(opaque(0.5F));
  __m256 sums[kChains];
  for (__m256& sum : sums) sum = x;
  for (std::int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(x, x, sum);
  }
  __m256 total = _mm256_setzero_ps();
  for (const __m256& sum : sums) total = _mm256_add_ps(total, sum);
  float lanes[8];
  _mm256_storeu_ps(lanes, total);
  return lanes[0];
}

__attribute__((target("avx512f"))) float read_avx512(const std::byte* begin, std::size_t n_bytes) {
  __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
  const auto* from = reinterpret_cast<const float*>(begin);
  for (std::size_t i = 0; i < n_bytes / 4; i += 64) {
#pragma GCC unroll 4
    for (std::size_t lane = 0; lane < 4; ++lane) {
      _mm_prefetch(reinterpret_cast<const char*>(from + i + lane * 16) + kPrefetchBytes, _MM_HINT_T0);
      sums[lane] = _mm512_add_ps(sums[lane], _mm512_loadu_ps(from + i + lane * 16));
    }
  }
  float lanes[16];
  _mm512_storeu_ps(lanes, _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
  return lanes[0] + lanes[15];
}

__attribute__((target("avx512f"))) float first_lane(const __m512* sums) {
  __m512 total = _mm512_setzero_ps();
  for (int i = 0; i < kChains; ++i) total = _mm512_add_ps(total, sums[i]);
  float lanes[16];
  _mm512_storeu_ps(lanes, total);
  return lanes[0];
}

__attribute__((target("avx512f"))) float f32_avx512(std::int64_t n) {
  const __m512 x = _mm512_set1_ps(opaque(0.5F));
  __m512 sums[kChains];
  for (__m512& sum : sums) sum = x;
  for (std::int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (__m512& sum : sums) sum = _mm512_fmadd_ps(x, x, sum);
  }
  return first_lane(sums);
}

__attribute__((target("avx512f,avx512bf16"))) float bf16_avx512(std::int64_t n) {
  const auto x = (__m512bh)_mm512_castps_si512(_mm512_set1_ps(opaque(0.5F)));
  __m512 sums[kChains];
  for (__m512& sum : sums) sum = _mm512_set1_ps(0.5F);
  for (std::int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, x, x);
  }
  return first_lane(sums);
}

// A loop of one instruction on `Vector`, which `%0` sums up in; `%1` is a register for a product, `%2` the factors. It is inline
// assembly, because g++ 12 copies every sum before and after an intrinsic, which halves the rate of a Cascade Lake, and
// because older assemblers' intrinsics do not know every instruction.
#define SS_INSTRUCTION_LOOP(name, isa, Vector, constraint, splat, instruction)            \
  __attribute__((target(isa))) float name(std::int64_t n) {                               \
    const Vector x = splat(opaque(0.5F));                                                 \
    Vector sums[kChains];                                                                 \
    _Pragma("GCC unroll 12") for (Vector & sum : sums) sum = x;                           \
    for (std::int64_t i = 0; i < n; ++i) {                                                \
      Vector product;                                                                     \
      _Pragma("GCC unroll 12") for (Vector & sum : sums) {                                \
        asm(instruction : "+" constraint(sum), "=&" constraint(product) : constraint(x)); \
      }                                                                                   \
    }                                                                                     \
    Vector total = x;                                                                     \
    _Pragma("GCC unroll 12") for (const Vector& sum : sums) total += sum;                 \
    float lanes[sizeof(Vector) / sizeof(float)];                                          \
    std::memcpy(lanes, &total, sizeof(total));                                            \
    return lanes[0];                                                                      \
  }

SS_INSTRUCTION_LOOP(int8_vnni_512, "avx512f", __m512, "v", _mm512_set1_ps, "vpdpbusd %2, %2, %0")
// The form of CPUs without AVX-512 (Alder Lake).
SS_INSTRUCTION_LOOP(int8_vnni_256, "avx2", __m256, "x", _mm256_set1_ps, "%{vex%} vpdpbusd %2, %2, %0")
// The cost of exact INT8 products without VNNI: values are widened to 16 bits, and two products are summed. vpmaddubsw multiplies bytes
// without widening them. Its sums of two products saturate with int8, and then a vpmaddwd has to follow, which uses the same ports. With
// codes of four bits they do not saturate, and are added in 16 bits.
SS_INSTRUCTION_LOOP(int8_madd_512, "avx512bw", __m512, "v", _mm512_set1_ps, "vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0")
SS_INSTRUCTION_LOOP(int8_madd_256, "avx2", __m256, "x", _mm256_set1_ps, "vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0")
SS_INSTRUCTION_LOOP(int4_madd_256, "avx2", __m256, "x", _mm256_set1_ps, "vpmaddubsw %2, %2, %1\n\tvpaddw %1, %0, %0")
SS_INSTRUCTION_LOOP(fp16_avx512, "avx512f", __m512, "v", _mm512_set1_ps, "vfmadd231ph %2, %2, %0")

#undef SS_INSTRUCTION_LOOP

#endif

}  // namespace

LimitLoops best_limit_loops() {
  LimitLoops loops{.instruction_set = "portable",
                   .read = read_portable,
                   .f32 = {f32_portable, kChains * 4 * 2.0},
                   .bf16 = {},
                   .int8 = {},
                   .int4 = {},
                   .others = {}};
#ifdef SECONDSOURCE_X86_LOOPS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    loops.instruction_set = "avx2";
    loops.read = read_avx2;
    loops.f32 = {f32_avx2, kChains * 8 * 2.0};
    loops.int8.push_back({"vpmaddwd, 256 bits", {int8_madd_256, kChains * 16 * 2.0}});
    // The kernels for AVX-512 do not use it.
    if (!__builtin_cpu_supports("avx512f")) {
      loops.int4.push_back({"vpmaddubsw, 256 bits", {int4_madd_256, kChains * 32 * 2.0}});
    }
  }
  if (__builtin_cpu_supports("avx512f")) {
    loops.instruction_set = "avx512";
    loops.read = read_avx512;
    loops.f32 = {f32_avx512, kChains * 16 * 2.0};
    if (__builtin_cpu_supports("avx512bf16")) {
      loops.bf16.push_back({"vdpbf16ps", {bf16_avx512, kChains * 32 * 2.0}});
    }
    if (__builtin_cpu_supports("avx512bw")) {
      loops.int8.push_back({"vpmaddwd, 512 bits", {int8_madd_512, kChains * 32 * 2.0}});
    }
    if (__builtin_cpu_supports("avx512vnni")) {
      loops.int8.push_back({"vpdpbusd, 512 bits", {int8_vnni_512, kChains * 64 * 2.0}});
    }
    if (has_avx512_fp16()) {
      loops.others.push_back({"FP16 multiply-adds", {fp16_avx512, kChains * 32 * 2.0}});
    }
  }
  if (has_avx_vnni() && __builtin_cpu_supports("avx2")) {
    loops.int8.push_back({"vpdpbusd, 256 bits", {int8_vnni_256, kChains * 32 * 2.0}});
  }
  const auto add_amx = [&loops](AmxType type, std::vector<InstructionLoop>& of_type) {
    for (const InstructionLoop& loop : amx_loops(type)) {
      (loop.is_peak ? of_type : loops.others).push_back(loop);
      loops.has_amx = true;
    }
  };
  add_amx(AmxType::kBf16, loops.bf16);
  add_amx(AmxType::kInt8, loops.int8);
#endif
  return loops;
}

}  // namespace secondsource
