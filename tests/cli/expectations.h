#pragma once
// Common expectations of command line tests.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.h"
#include "support/program.h"
#include "support/source_path.h"
#include "support/text_parts.h"

namespace secondsource::test {

/// Checks for bad usage or bad input: status 2, nothing on stdout, and one line on stderr that contains `part`.
inline void check_refused(const ProgramRun& run, std::string_view part) {
  CAPTURE(run.out, run.err, part);
  CHECK(run.status == 2);
  CHECK(is_one_line(run.err));
  CHECK(contains(run.err, part));
  CHECK(run.out.empty());
}

/// Returns the backends that `backends --json` lists as available, among them cpu and reference in every build.
inline std::vector<std::string> available_backends() {
  const auto answer = nlohmann::json::parse(run_program({"backends", "--json"}).out);
  std::vector<std::string> names;
  for (const auto& backend : answer["backends"]) {
    if (backend["available"].get<bool>()) names.push_back(backend["name"]);
  }
  return names;
}

}  // namespace secondsource::test
