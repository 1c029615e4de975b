#pragma once
// Why a child process ended, in the words of a report: crash or out of memory, with the last line of its log.
//
//   const ChildWatch watch(log);                             // before the child is started
//   ... const ChildFailure failure = watch.failure_of(exit, "the worker");

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/child_process.h"
#include "host/host_files.h"
#include "record/failure_record.h"

namespace secondsource {

struct ChildFailure {
  FailureKind kind = FailureKind::kError;
  std::string message;
};

/// Remembers facts from before a child's start: where its part of the log begins, and how many processes the kernel had
/// killed for lack of memory.
class ChildWatch {
 public:
  explicit ChildWatch(std::filesystem::path log, const HostFiles& host = HostFiles());

  /// `who` ended by itself, although it should not have.
  [[nodiscard]] ChildFailure failure_of(const ChildExit& exit, std::string_view who) const;
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
