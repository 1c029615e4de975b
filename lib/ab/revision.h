#pragma once
// Checks out a git revision beside the repository and builds it with the repository's own command.

#include <filesystem>
#include <string>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

struct RevisionBuild {
  std::filesystem::path repository;  ///< the checkout in which the revision is looked up
  std::string revision;              ///< any name that git understands
  std::string command;               ///< run by `sh -c` in the worktree
  std::filesystem::path result;      ///< what the command leaves, relative to the worktree: a program, or a folder
  std::filesystem::path work;        ///< folder of the worktrees, one per commit; empty: CACHE/worktrees
};

struct BuiltRevision {
  std::string commit;
  std::filesystem::path result;  ///< absolute path
};

/// Checks the revision out and builds it. If the same command has already built the same commit, its result is reused,
/// even if the folder comes from a CI cache and git does not know its worktree. Remains of a failed build are removed
/// first. The repository's own checkout is not changed, but its list of worktrees grows. Errors: kInvalidInput for an
/// unknown revision, a command that fails, or a command that does not leave the result; kInterrupted; kIo.
Result<BuiltRevision> build_revision(const RevisionBuild& build, Progress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource
