// Runs the golden pass of a committed bundle on every backend in every variant, with the suite that SECONDSOURCE_SUITE names. The
// bundle is the default one, or the one that SECONDSOURCE_GOLDEN_BUNDLE names.

#include <cstdlib>
#include <iostream>

#include "golden/golden_pass.h"
#include "golden_support.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

TEST_CASE("the bundle's suite passes on every backend in every variant that it supports") {
  const char* const bundles = std::getenv("SECONDSOURCE_BUNDLES");
  REQUIRE(bundles != nullptr);
  const char* const suite = std::getenv("SECONDSOURCE_SUITE");
  REQUIRE(suite != nullptr);
  const char* const name = std::getenv("SECONDSOURCE_GOLDEN_BUNDLE");
  SilentProgress progress;
  const InterruptFlag interrupt;
  auto bundle =
      Bundle::open(std::filesystem::path(bundles) / (name == nullptr ? "default" : name), progress, interrupt);
  REQUIRE_OK(bundle);
  const auto text = BundleText::load(*bundle);
  REQUIRE_OK(text);
  int n_passed = 0;
  for (const std::string& variant : bundle->variants()) {
    const auto inputs = load_golden_inputs(*bundle, *text, suite, variant);
    REQUIRE_OK(inputs);
    for (const Module& module : test::available_backends()) {
      CAPTURE(module.name, variant);
      auto session = ModelSession::open(test::make_backend(module.name), bundle->config(), bundle->tensors(), variant,
                                        golden_engine_options(*inputs), progress, InterruptFlag());
      if (!session && session.error().code == ErrorCode::kUnsupported) {
        std::cout << module.name << " " << variant << ": skipped: " << session.error().message << "\n";
        continue;
      }
      REQUIRE_OK(session);
      const auto result = run_golden_pass(**session, *inputs, {}, progress);
      if (!result && result.error().code == ErrorCode::kUnsupported) {
        std::cout << module.name << " " << variant << ": skipped: " << result.error().message << "\n";
        continue;
      }
      REQUIRE_OK(result);
      const GoldenRecord& record = result->record;
      std::cout << module.name << " " << variant << ": " << to_string(record.verdict) << ", " << record.n_match
                << " match, " << record.n_near_tie << " near ties, " << record.n_wrong << " wrong, " << record.n_skipped
                << " prompts skipped" << std::endl;
      for (const std::string& reason : record.reasons) UNSCOPED_INFO(reason);
      CHECK(record.verdict == GoldenVerdict::kPassed);
      ++n_passed;
    }
  }
  CHECK(n_passed > 0);
}

}  // namespace
}  // namespace secondsource
