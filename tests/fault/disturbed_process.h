#pragma once
// Runs an operation in a child process, in which the shim of system_calls.h makes system calls or allocations fail.

#include <sys/types.h>

#include <functional>
#include <string>

#include "core/result.h"
#include "system_calls.h"

namespace secondsource::test {

/// An operation calls this each time it relies on something it wrote being on the disk.
using Acknowledge = std::function<void()>;
using Operation = std::function<Result<void>(const Acknowledge&)>;

/// How the process of an operation ended.
enum class Ending : int {
  kDone = 0,
  kRefused = 1,      ///< it returned an error
  kOutOfMemory = 2,  ///< it threw std::bad_alloc
  kAborted = 134,    ///< nlohmann-json allocates in a destructor, which ends the process when it gets no memory
  kKilled = 137,     ///< ShimAction::kDie
};

class DisturbedProcess {
 public:
  /// Starts the operation under the plan. Only system calls on files in `folder` are counted.
  DisturbedProcess(ShimPlan plan, const std::string& folder, const Operation& operation);
  /// Kills the process if it still runs.
  ~DisturbedProcess();
  DisturbedProcess(const DisturbedProcess&) = delete;
  DisturbedProcess& operator=(const DisturbedProcess&) = delete;

  /// Waits until the process pauses or ends; true if it pauses.
  bool waits();
  /// Lets a paused process continue.
  void go_on() const;
  /// Waits for the process to end. If a signal ended it, the result is 128 + the signal's number.
  Ending ending();
  /// After the end of the process: how many calls were counted, and how often the operation called Acknowledge.
  [[nodiscard]] long n_calls() const;
  [[nodiscard]] int n_acknowledged() const;

 private:
  struct Shared;
  Shared* shared_;
  pid_t pid_ = -1;
  int paused_ = -1;
  int resumed_ = -1;
  int status_ = -1;
};

}  // namespace secondsource::test
