// Fuzzes plan files and the texts of scenarios in them.

#include <cstdint>
#include <cstdlib>

#include "runner/plan_file.h"
#include "runner/scenario_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto plan = parse_plan(std::string_view(reinterpret_cast<const char*>(data), size), "plan.yaml");
  if (!plan) {
    if (plan.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  for (const std::string& text : plan->request.scenarios) (void)parse_scenario(text);
  return 0;
}
