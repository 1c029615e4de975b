# Writes the commit of a checkout into a header, which it leaves as it is where the commit is still the same, so that nothing is compiled
# again. Every build runs this: a commit that was read when the build was configured would be wrong in the records of all later builds.
#   cmake -D SOURCE_FOLDER=... -D HEADER=... -P write_build_commit.cmake
execute_process(COMMAND git --no-optional-locks -C ${SOURCE_FOLDER} describe --always --dirty --abbrev=12
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE git_failed)
if(git_failed)
  set(commit "unknown")  # outside a checkout
endif()
file(CONFIGURE OUTPUT ${HEADER} @ONLY CONTENT [[#pragma once
// Written by cmake/write_build_commit.cmake before the program is compiled.

namespace secondsource {
inline constexpr const char* kBuildCommit = "@commit@";
}  // namespace secondsource
]])
