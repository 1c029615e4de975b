#pragma once
// A library that intercepts calls to libc, either linked into a test or preloaded into the program with LD_PRELOAD. It
// counts the system calls on the files of one folder, and makes the nth of them fail, write only half, end the process or
// wait. It can do the same for allocations. SQLite is tested in this way (sqlite.org/testing.html, section 3).
//
// A test that links the library calls the functions below. With LD_PRELOAD, the variables SS_SHIM_FOLDER, SS_SHIM_TARGET
// (calls or allocations) and SS_SHIM_NTH control it: the nth call fails (-1: none). Allocations are counted from the first
// call in the folder on. When the program ends, the number of calls is written to the file SS_SHIM_COUNT. Child processes
// of the program do not inherit the library.

#include <cstdint>

enum class ShimAction : std::uint8_t {
  kCount,       ///< only count
  kFail,        ///< the call returns an error that it may return, and does nothing
  kShortWrite,  ///< a write writes only half of its bytes; other calls are not changed
  kDie,         ///< the process ends before the call, as by kill -9
  kPause,       ///< the process writes a byte to `paused` and continues when it reads one from `resumed`
};

enum class ShimTarget : std::uint8_t { kSystemCalls, kAllocations };

struct ShimPlan {
  ShimAction action = ShimAction::kCount;
  ShimTarget target = ShimTarget::kSystemCalls;
  long nth = -1;  ///< counts from 0
  const char* folder = "";
  int paused = -1;
  int resumed = -1;
};

#pragma GCC visibility push(default)  // the build hides what a library defines
extern "C" {
/// Begins to count from 0 in this process. The folder's name must live as long as the shim is armed.
void shim_arm(const ShimPlan* plan);
void shim_disarm();
/// The calls since shim_arm().
long shim_count();
}
#pragma GCC visibility pop
