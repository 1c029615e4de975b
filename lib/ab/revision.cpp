#include "ab/revision.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "ab/program_run.h"
#include "core/file.h"
#include "core/file_lock.h"
#include "core/folder.h"
#include "core/hash.h"
#include "core/staging.h"

namespace secondsource {
namespace {

constexpr std::int64_t kBuildDeadlineNs = std::int64_t{3600} * 1'000'000'000;

/// Runs `sh -c SCRIPT` with the arguments $0, $1, ..., which need no quoting that way. Returns the standard output.
Result<ProgramEnd> run_shell(const std::string& script, std::vector<std::string> arguments,
                             const std::filesystem::path& log, const InterruptFlag& interrupt) {
  ProgramCall call{
      .program = "/bin/sh", .arguments = {"-c", script}, .stderr_file = log, .deadline_ns = kBuildDeadlineNs};
  call.arguments.insert(call.arguments.end(), arguments.begin(), arguments.end());
  return run_program_to_end(call, interrupt);
}

/// Takes a file lock. When several jobs on one machine need the same commit, one of them builds it and the others wait
/// and find it built. Errors: kInterrupted while it waits; kIo.
Result<FileDescriptor> lock_file(const std::filesystem::path& path, const InterruptFlag& interrupt) {
  FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!lock.is_open()) return errno_error(path, "open");
  SS_TRY_VOID(wait_for_lock(lock, path, interrupt));
  return lock;
}

Error failed(const RevisionBuild& build, std::string_view what, const ProgramEnd& end,
             const std::filesystem::path& log) {
  return {ErrorCode::kInvalidInput, fmt::format("revision {}: {}: {} (the whole output is in {})", build.revision, what,
                                                end.text(), log.string())};
}

}  // namespace

Result<BuiltRevision> build_revision(const RevisionBuild& build, Progress& progress, const InterruptFlag& interrupt) {
  std::filesystem::path work = build.work;
  if (work.empty()) {
    SS_TRY(const std::filesystem::path cache, cache_folder());
    work = cache / "worktrees";
  }
  SS_TRY_VOID(create_folder(work));
  work = std::filesystem::absolute(work);
  const std::filesystem::path log = work / "git.log";
  SS_TRY(const ProgramEnd parsed, run_shell("git -C \"$0\" rev-parse --verify \"$1^{commit}\"",
                                            {build.repository.string(), build.revision}, log, interrupt));
  if (parsed.exit.status != 0) return failed(build, "git knows no commit of this name", parsed, log);
  BuiltRevision built;
  built.commit = parsed.out.substr(0, parsed.out.find('\n'));
  const std::filesystem::path worktree = work / built.commit;
  built.result = worktree / build.result;
  const std::filesystem::path stamp = work / (built.commit + ".built");
  const std::string recipe = sha256_hex(build.command + "\n" + build.result.string());
  SS_TRY(const FileDescriptor lock, lock_file(work / (built.commit + ".lock"), interrupt));
  if (path_exists(stamp) && path_exists(built.result)) {
    SS_TRY(const std::string before, read_file(stamp));
    if (before == recipe) return built;
  }
  // Removes what an interrupted job or a cache without its build left here, since it may be incomplete.
  if (path_exists(stamp) && !discard(stamp)) return Error{ErrorCode::kIo, stamp.string() + ": cannot be removed"};
  if (path_exists(worktree)) SS_TRY_VOID(remove_folder_as_a_whole(worktree));
  // Git refuses a folder that is in its list of worktrees even if the folder is gone; `worktree prune` removes such
  // entries from the list.
  SS_TRY(const ProgramEnd added,
         run_shell("git -C \"$0\" worktree prune && git -C \"$0\" worktree add --force --detach \"$1\" \"$2\"",
                   {build.repository.string(), worktree.string(), built.commit}, log, interrupt));
  if (added.exit.status != 0) return failed(build, "git worktree add", added, log);
  progress.note(fmt::format("building {} ({:.12}) in {}", build.revision, built.commit, worktree.string()));
  const std::filesystem::path build_log = work / (built.commit + ".log");
  SS_TRY(const ProgramEnd made,
         run_shell("cd \"$0\" && exec sh -c \"$1\" 1>&2", {worktree.string(), build.command}, build_log, interrupt));
  if (made.exit.status != 0) return failed(build, "the build command failed", made, build_log);
  if (!path_exists(built.result)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("revision {}: expected the build command to leave {}, found none", build.revision,
                             built.result.string())};
  }
  SS_TRY_VOID(write_file(stamp, recipe));
  return built;
}

}  // namespace secondsource
