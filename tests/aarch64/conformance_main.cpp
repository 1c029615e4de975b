// conformance_aarch64 ISA [FAMILY [KV]]: runs the conformance suite on the statically linked cpu backend with one instruction set. FAMILY
// restricts the run to one family of cases, and KV to one type of KV cache; by default, all are tested. The exit status is 0 when no case
// failed, 1 when one did or none ran, 3 when the backend cannot be created, and 2 on bad usage. The last line counts the verdicts:
// "neon: 12 passed, 0 failed, 3 not supported".
// conformance_aarch64 --list prints the names of all families and then those of the cache types, one per line.

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "conformance/cases.h"
#include "conformance/suite.h"
#include "cpu/backend.h"

namespace secondsource::conformance {
namespace {

constexpr const char* kCacheTypes[] = {"bf16", "f16", "int8", "f32"};

int list() {
  for (const Family& family : families()) fmt::print("family {}\n", family.name);
  fmt::print("family protocol\n");
  for (const char* const kv : kCacheTypes) fmt::print("kv {}\n", kv);
  return 0;
}

int run(const std::string& isa, const SuiteOptions& suite, std::string_view wanted_kv) {
  std::vector<Tested> tested;
  for (const std::string kv : kCacheTypes) {
    if (!wanted_kv.empty() && kv != wanted_kv) continue;
    BackendOptions options;
    options.n_threads = 2;
    options.extra = {{"isa", isa}, {"kv", kv}, {"guards", "1"}};
    if (const auto made = cpu::create(options); !made) {
      fmt::print("{}\n", made.error().message);
      return 3;
    }
    tested.push_back({"kv=" + kv, [options] { return cpu::create(options); }});
  }
  std::map<Verdict, std::int64_t> count;
  std::int64_t n_cases = 0;
  const std::int64_t n_failed = run_suite(tested, suite, [&](const CaseReport& report) {
    ++count[report.verdict];
    ++n_cases;
    if (report.verdict != Verdict::kFailed) return;
    fmt::print("FAILED {} {} (seed {}, {}): {}\n", report.family, report.name, report.seed, report.options,
               report.text);
    std::fflush(stdout);
  });
  fmt::print("{}: {} passed, {} failed, {} not supported\n", isa, count[Verdict::kPassed], n_failed,
             count[Verdict::kUnsupported]);
  return n_failed == 0 && n_cases > 0 ? 0 : 1;
}

}  // namespace
}  // namespace secondsource::conformance

int main(int argc, char** argv) {
  using namespace secondsource::conformance;
  if (argc == 2 && std::string_view(argv[1]) == "--list") return list();
  if (argc < 2 || argc > 4) {
    fmt::print(stderr, "usage: conformance_aarch64 ISA [FAMILY [KV]]\n");
    return 2;
  }
  SuiteOptions suite;
  if (argc > 2) suite.families = {argv[2]};
  return run(argv[1], suite, argc > 3 ? argv[3] : "");
}
