#pragma once
// What tests of the command line look for again and again.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.h"
#include "support/program.h"

namespace secondsource::test {

/// A path in the repository.
inline std::string source_path(std::string_view relative_path) {
  return (std::filesystem::path(SS_SOURCE_FOLDER) / relative_path).string();
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// Bad usage or bad input: status 2, nothing on stdout, and one line on stderr with `part` in it.
inline void check_refused(const ProgramRun& run, std::string_view part) {
  CAPTURE(run.out, run.err, part);
  CHECK(run.status == 2);
  CHECK(is_one_line(run.err));
  CHECK(contains(run.err, part));
  CHECK(run.out.empty());
}

/// What `backends --json` calls available. Every build has cpu and reference.
inline std::vector<std::string> available_backends() {
  const auto answer = nlohmann::json::parse(run_program({"backends", "--json"}).out);
  std::vector<std::string> names;
  for (const auto& backend : answer["backends"]) {
    if (backend["available"].get<bool>()) names.push_back(backend["name"]);
  }
  return names;
}

}  // namespace secondsource::test
