// conformance_aarch64 ISA [FAMILY]: the conformance suite on the cpu backend, linked in, with one instruction set and
// every type of cache. Ends 0 when all passed, 1 when one failed, 3 when the backend cannot be made.

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "conformance/suite.h"
#include "cpu/backend.h"

int main(int argc, char** argv) {
  using namespace secondsource;
  using namespace secondsource::conformance;
  if (argc < 2) {
    fmt::print(stderr, "usage: conformance_aarch64 ISA [FAMILY]\n");
    return 2;
  }
  std::vector<Tested> tested;
  for (const std::string kv : {"bf16", "f16", "int8", "f32"}) {
    BackendOptions options;
    options.n_threads = 2;
    options.extra = {{"isa", argv[1]}, {"kv", kv}, {"guards", "1"}};
    if (const auto made = cpu::create(options); !made) {
      fmt::print("{}\n", made.error().message);
      return 3;
    }
    tested.push_back({"kv=" + kv, [options] { return cpu::create(options); }});
  }
  SuiteOptions suite;
  if (argc > 2) suite.families = {argv[2]};
  std::int64_t n_passed = 0;
  const std::int64_t n_failed = run_suite(tested, suite, [&](const CaseReport& report) {
    if (report.verdict == Verdict::kPassed) ++n_passed;
    if (report.verdict != Verdict::kFailed) return;
    fmt::print("FAILED {} {} (seed {}, {}): {}\n", report.family, report.name, report.seed, report.options,
               report.text);
    std::fflush(stdout);
  });
  fmt::print("{}: {} passed, {} failed\n", argv[1], n_passed, n_failed);
  return n_failed == 0 && n_passed > 0 ? 0 : 1;
}
