#include "system_run.h"

#include <cstdint>
#include <fstream>

#include "core/clock.h"
#include "core/file.h"
#include "support/own_cache.h"
#include "support/result.h"
#include "support/source_path.h"

namespace secondsource::test {

SystemRun::SystemRun(const SystemPlan& plan, const std::vector<std::string>& more) {
  // In SECONDSOURCE_TEST_PODMAN the stand-in for podman keeps its containers. Nothing else uses this variable.
  options_.environment = {{"SECONDSOURCE_TEST_PODMAN", scratch_.path().string()}, own_cache(scratch_.path() / "cache")};
  REQUIRE_OK(
      write_file(this->plan(), "version: 1\nbundles: ['" + source_path("bundles/default") +
                                   "']\nvariants: [bf16]\nscenarios: ['single-stream+requests=3@/4', '" + plan.offline +
                                   "']\nrepetitions: 1\nsystems:\n  - name: it\n    variant: bf16\n" + plan.system));
  std::vector<std::string> arguments = {"run", "--config", this->plan().string(), "--out", folder().string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  run_ = run_program(arguments, options_);
}

SummarizedRun SystemRun::stored() const {
  CAPTURE(run_.out, run_.err);
  auto read = read_summarized_run(folder());
  REQUIRE_OK(read);
  return *std::move(read);
}

std::string SystemRun::log() const {
  return read_file(folder() / "servers" / "it.log").value();
}

bool has_ended(const std::string& process) {
  for (const std::int64_t until_ns = now_ns() + 5'000'000'000; now_ns() < until_ns;) {
    std::ifstream stat("/proc/" + process + "/stat");
    std::string line;
    if (!std::getline(stat, line) || contains(line, ") Z ")) return true;
  }
  return false;
}

}  // namespace secondsource::test
