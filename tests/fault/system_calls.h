#pragma once
// A library that stands between a program and libc (linked into a test, or LD_PRELOAD for the program): it counts the
// system calls on the files of one folder, and makes the nth of them fail, write only half, end the process or wait.
// The same for allocations. SQLite is tested in this way (sqlite.org/testing.html, section 3).
//
// A test that links the library calls the functions below. A program gets it by LD_PRELOAD and the variables
// SS_SHIM_FOLDER, SS_SHIM_TARGET (calls or allocations) and SS_SHIM_NTH; the nth call then fails (-1: none). Allocations
// are counted from the first call in the folder on. The file SS_SHIM_COUNT gets the number of calls when the program ends.
// Child processes of the program do not inherit it.

#include <cstdint>

enum class ShimAction : std::uint8_t {
  kCount,       ///< only count
  kFail,        ///< the call returns an error that it may return, and does nothing
  kShortWrite,  ///< a write takes half of its bytes; other calls are not changed
  kDie,         ///< the process ends before the call, as by kill -9
  kPause,       ///< the process reports through `paused` and goes on when it reads a byte from `resumed`
};

enum class ShimTarget : std::uint8_t { kSystemCalls, kAllocations };

struct ShimPlan {
  ShimAction action = ShimAction::kCount;
  ShimTarget target = ShimTarget::kSystemCalls;
  long nth = -1;  ///< from 0
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
