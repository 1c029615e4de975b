// Compares the instruction sets that usable_isas() finds with the flags that Linux prints in /proc/cpuinfo.

#include "cpu/cpu_features.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "support/catch.h"

namespace secondsource::cpu {
namespace {

#ifdef __x86_64__

/// The flags of the first CPU of /proc/cpuinfo.
std::set<std::string> cpu_flags() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string line;
  while (std::getline(cpuinfo, line) && !line.starts_with("flags")) {
  }
  std::istringstream words(line);
  std::set<std::string> flags;
  for (std::string word; words >> word;) flags.insert(word);
  return flags;
}

TEST_CASE("the instruction sets of an x86 CPU are those whose flags Linux prints") {
  const std::set<std::string> flags = cpu_flags();
  REQUIRE(flags.contains("sse2"));
  const auto has_all = [&](std::initializer_list<const char*> names) {
    return std::ranges::all_of(names, [&](const char* name) { return flags.contains(name); });
  };
  const auto is_usable = [](Isa isa) { return std::ranges::find(usable_isas(), isa) != usable_isas().end(); };
  const bool has_avx2 = has_all({"avx2", "fma"});
  const bool has_avx512 = has_avx2 && has_all({"avx512f", "avx512bw", "avx512vl", "avx512dq"});
  const bool has_vnni = has_avx512 && has_all({"avx512_vnni"});
  CHECK(usable_isas().front() == Isa::kScalar);
  CHECK(is_usable(Isa::kAvx2) == has_avx2);
  // Kernels before Linux 5.12 do not print this flag.
  if (has_avx2 && has_all({"avx_vnni"})) CHECK(is_usable(Isa::kAvx2Vnni));
  if (!has_avx2) CHECK_FALSE(is_usable(Isa::kAvx2Vnni));
  CHECK(is_usable(Isa::kAvx512) == has_avx512);
  CHECK(is_usable(Isa::kAvx512Vnni) == has_vnni);
  CHECK(is_usable(Isa::kAvx512Bf16) == (has_vnni && has_all({"avx512vbmi", "avx512_bf16"})));
  // Linux may refuse AMX to a process on a CPU that has it.
  if (!has_all({"amx_tile", "amx_bf16", "amx_int8"})) CHECK_FALSE(is_usable(Isa::kAmx));
}

#endif

TEST_CASE("instruction sets are in the order from slow to fast, and each usable one can be chosen") {
  CHECK(std::ranges::is_sorted(usable_isas()));
  for (const Isa isa : usable_isas()) {
    const auto chosen = choose_isa(to_string(isa));
    REQUIRE(chosen.has_value());
    CHECK(*chosen == isa);
    CHECK(std::string(kernel_table(isa).isa) == to_string(isa));
  }
}

}  // namespace
}  // namespace secondsource::cpu
