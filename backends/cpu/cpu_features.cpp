#include "cpu/cpu_features.h"

#include <fmt/format.h>

#include <array>
#include <cstddef>

#include "core/check.h"

namespace secondsource::cpu {
namespace {

constexpr std::array kAllIsas{Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16};

#ifdef SECONDSOURCE_CPU_X86
// Each level includes the one before, so the usable levels are the first n. The compiler's builtins read CPUID and
// XGETBV: the operating system has to save the registers too.
std::size_t count_usable() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  // Every CPU with AVX-512 F has F16C; for AVX2 alone it is a separate bit that g++ 12 cannot name, but no CPU with
  // AVX2 was made without it.
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
    return 2;
  }
  if (!__builtin_cpu_supports("avx512vbmi") || !__builtin_cpu_supports("avx512vnni") ||
      !__builtin_cpu_supports("avx512bf16")) {
    return 3;
  }
  return 4;
}
#else
std::size_t count_usable() {
  return 1;
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
  return std::span(kAllIsas).first(count_usable());
}

std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
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

const KernelTable& kernel_table(Isa isa) {
#ifdef SECONDSOURCE_CPU_X86
  if (isa == Isa::kAvx2) return kernels_avx2();
  if (isa == Isa::kAvx512) return kernels_avx512();
  if (isa == Isa::kAvx512Bf16) return kernels_avx512_bf16();
#endif
  SS_CHECK(isa == Isa::kScalar, "kernels for another architecture");
  return kernels_scalar();
}

}  // namespace secondsource::cpu
