#pragma once
// Why a child process ended, in the words of a report: crash or out of memory, with the last line of its log.
//
//   const ChildWatch watch(log);                             // before the child is started
//   ... const WorkerFailure failure = watch.failure_of(exit, "the worker");

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/child_process.h"
#include "host/host_files.h"
#include "record/failure_record.h"

namespace secondsource {

/// How and why a worker, or the server that it measures, failed.
struct WorkerFailure {
  FailureKind kind = FailureKind::kError;
  std::string message;
  /// The run was paused (Ctrl-Z) during the command. This is no failure of the backend: the command is to be given
  /// again to a new worker, because its times would include the pause.
  bool was_paused = false;
};

/// Empty on success, otherwise the failure. The Error of a Result<WorkerOutcome> is reserved for what ends the whole
/// run: a disk error or an interrupt.
using WorkerOutcome = std::optional<WorkerFailure>;

/// Remembers what has to be known from before a child's start: where its part of the log begins, and how many processes
/// the kernel had killed for want of memory.
class ChildWatch {
 public:
  explicit ChildWatch(std::filesystem::path log, const HostFiles& host = HostFiles());

  /// `who` ended by itself, although it should not have.
  [[nodiscard]] WorkerFailure failure_of(const ChildExit& exit, std::string_view who) const;
  /// The last line of the child's part of the log, made printable; empty if there is none.
  [[nodiscard]] std::string last_line() const;

 private:
  [[nodiscard]] std::string tail() const;

  std::filesystem::path log_;
  HostFiles host_;
  std::int64_t begins_at_ = 0;
  std::optional<std::int64_t> n_memory_kills_;
};

}  // namespace secondsource
