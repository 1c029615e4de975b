#include "backend_kit/x86_features.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace secondsource {

#ifdef __x86_64__

namespace {

struct Registers {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
};

/// CPUID leaf 7, which lists instructions; zeros if the CPU lacks the subleaf.
Registers features(unsigned subleaf) {
  Registers r;
  constexpr unsigned kLeaf = 7;
  if (__get_cpuid_count(kLeaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  const unsigned last_subleaf = r.eax;
  if (subleaf == 0) return r;
  if (subleaf > last_subleaf || __get_cpuid_count(kLeaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

}  // namespace

bool has_avx_vnni() {
  constexpr unsigned kAvxVnni = 1U << 4;
  return (features(1).eax & kAvxVnni) != 0;
}

bool has_avx512_fp16() {
  constexpr unsigned kFp16 = 1U << 23;
  return (features(0).edx & kFp16) != 0;
}

bool may_use_amx() {
  constexpr unsigned kWanted = 1U << 22 | 1U << 24 | 1U << 25;  // AMX-BF16, AMX-TILE, AMX-INT8
  if ((features(0).edx & kWanted) != kWanted) return false;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

#else

bool has_avx_vnni() {
  return false;
}

bool has_avx512_fp16() {
  return false;
}

bool may_use_amx() {
  return false;
}

#endif

}  // namespace secondsource
