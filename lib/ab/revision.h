#pragma once
// A git revision, checked out beside the repository and built by the repository's own command.

#include <filesystem>
#include <string>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

struct RevisionBuild {
  std::filesystem::path repository;  ///< the checkout whose revisions are meant
  std::string revision;              ///< whatever git understands
  std::string command;               ///< run by `sh -c` in the worktree
  std::filesystem::path program;     ///< what it leaves behind, relative to the worktree
  std::filesystem::path work;        ///< worktrees go here, one a commit; empty: CACHE/worktrees
};

struct BuiltRevision {
  std::string commit;
  std::filesystem::path program;  ///< absolute
};

/// Checks the revision out and builds it, unless the same commit was built by the same command before. The repository's
/// own checkout is not touched; its list of worktrees grows. Errors: kInvalidInput for an unknown revision, a command
/// that fails, or one that does not leave the program; kInterrupted; kIo.
Result<BuiltRevision> build_revision(const RevisionBuild& build, Progress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource
