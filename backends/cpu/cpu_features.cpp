#include "cpu/cpu_features.h"

#include <fmt/format.h>
#include <unistd.h>
#ifdef SECONDSOURCE_CPU_AARCH64
#include <asm/hwcap.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#endif

#include <array>
#include <vector>

#include "backend_kit/x86_features.h"
#include "core/check.h"

namespace secondsource::cpu {
namespace {

constexpr std::array kAllIsas{Isa::kScalar,     Isa::kAvx2, Isa::kAvx2Vnni, Isa::kAvx512,   Isa::kAvx512Vnni,
                              Isa::kAvx512Bf16, Isa::kAmx,  Isa::kNeon,     Isa::kNeonBf16, Isa::kSve256};

// Whether the tile instructions of AMX are modelled in software (kernels/amx_tile_model-inl.h), so that any CPU can run them.
#ifdef SECONDSOURCE_CPU_TILE_MODEL
constexpr bool kModelsTiles = true;
#else
constexpr bool kModelsTiles = false;
#endif

#ifdef SECONDSOURCE_CPU_X86
// The compiler's builtins read CPUID and also XGETBV, because the operating system must save the registers.
std::vector<Isa> find_usable() {
  std::vector<Isa> usable{Isa::kScalar};
  __builtin_cpu_init();
  // F16C is not checked. Every CPU with AVX-512 F has it. Beside AVX2 it is a separate feature, which g++ 12 cannot query, but no CPU with
  // AVX2 was made without it.
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return usable;
  usable.push_back(Isa::kAvx2);
  // CPUs have AVX-VNNI without AVX-512 (Alder Lake), AVX-512 VNNI without AVX-VNNI (Ice Lake, Zen 4), or both (Zen 5).
  if (has_avx_vnni()) usable.push_back(Isa::kAvx2Vnni);
  // From here on each level includes the one before.
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
    return usable;
  }
  usable.push_back(Isa::kAvx512);
  if (!__builtin_cpu_supports("avx512vnni")) return usable;
  usable.push_back(Isa::kAvx512Vnni);
  if (!__builtin_cpu_supports("avx512vbmi") || !__builtin_cpu_supports("avx512bf16")) return usable;
  usable.push_back(Isa::kAvx512Bf16);
  if (kModelsTiles || may_use_amx()) usable.push_back(Isa::kAmx);
  return usable;
}
#elif defined(SECONDSOURCE_CPU_AARCH64)
// Every AArch64 CPU has Advanced SIMD. For all other features, the Linux kernel reports which ones a process may use.
std::vector<Isa> find_usable() {
  std::vector<Isa> usable{Isa::kScalar, Isa::kNeon};
  const unsigned long has = getauxval(AT_HWCAP2);
  const auto has_all = [has](unsigned long wanted) { return (has & wanted) == wanted; };
  if (!has_all(HWCAP2_BF16 | HWCAP2_I8MM)) return usable;
  usable.push_back(Isa::kNeonBf16);
  // The vector length is a property of the thread; threads that start later inherit it.
  constexpr int kBytes = 32;
  const int length = (getauxval(AT_HWCAP) & HWCAP_SVE) != 0 ? prctl(PR_SVE_GET_VL) : -1;
  const bool has_sve256 = length >= 0 && (length & PR_SVE_VL_LEN_MASK) == kBytes;
  if (has_sve256 && has_all(HWCAP2_SVEBF16 | HWCAP2_SVEI8MM)) usable.push_back(Isa::kSve256);
  return usable;
}
#else
std::vector<Isa> find_usable() {
  return {Isa::kScalar};
}
#endif

std::string usable_names() {
  std::string names;
  for (const Isa isa : usable_isas()) {
    if (!names.empty()) names += ", ";
    names += to_string(isa);
  }
  return names;
}

}  // namespace

std::span<const Isa> usable_isas() {
  static const std::vector<Isa> usable = find_usable();
  return usable;
}

std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx2Vnni:
      return "avx2_vnni";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Vnni:
      return "avx512_vnni";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAmx:
      return "amx";
    case Isa::kNeon:
      return "neon";
    case Isa::kNeonBf16:
      return "neon_bf16";
    case Isa::kSve256:
      return "sve256";
  }
  return "unknown";
}

Result<Isa> choose_isa(std::string_view name) {
  if (name.empty()) return usable_isas().back();
  for (const Isa isa : usable_isas()) {
    if (to_string(isa) == name) return isa;
  }
  for (const Isa isa : kAllIsas) {
    if (to_string(isa) != name) continue;
    return Error{ErrorCode::kUnavailable,
                 fmt::format("option isa: this CPU cannot run {}; it can run {}", name, usable_names())};
  }
  return Error{ErrorCode::kInvalidInput, fmt::format("option isa: expected one of {}, found {}", usable_names(), name)};
}

std::int64_t second_level_cache_bytes() {
  // Read once: the C library executes CPUID, which in a virtual machine calls the hypervisor.
  static const std::int64_t known_bytes = [] {
    long bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return bytes > 0 ? std::int64_t{bytes} : std::int64_t{512} << 10;
  }();
  return known_bytes;
}

const KernelTable& kernel_table(Isa isa) {
#ifdef SECONDSOURCE_CPU_X86
  if (isa == Isa::kAvx2) return kernels_avx2();
  if (isa == Isa::kAvx2Vnni) return kernels_avx2_vnni();
  if (isa == Isa::kAvx512) return kernels_avx512();
  if (isa == Isa::kAvx512Vnni) return kernels_avx512_vnni();
  if (isa == Isa::kAvx512Bf16) return kernels_avx512_bf16();
  if (isa == Isa::kAmx) return kernels_amx();
#elif defined(SECONDSOURCE_CPU_AARCH64)
  if (isa == Isa::kNeon) return kernels_neon();
  if (isa == Isa::kNeonBf16) return kernels_neon_bf16();
  if (isa == Isa::kSve256) return kernels_sve256();
#endif
  SS_CHECK(isa == Isa::kScalar, "kernels for another architecture");
  return kernels_scalar();
}

}  // namespace secondsource::cpu
