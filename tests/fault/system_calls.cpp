#undef _FORTIFY_SOURCE  // its inline definitions of read() and others would clash with those below
#include "system_calls.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
// The names under which glibc exports its allocator. The shim replaces malloc() itself, and dlsym(), which looks up the
// original, may allocate.
void* __libc_malloc(std::size_t size);                     // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t count, std::size_t size);  // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* memory, std::size_t size);      // NOLINT(bugprone-reserved-identifier)
}

namespace {

constexpr int kMostDescriptors = 4096;

ShimPlan plan;
std::atomic<bool> armed{false};
std::atomic<long> n_calls{0};
bool is_ours[kMostDescriptors] = {};
bool counts_allocations = true;

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

bool in_folder(const char* path) {
  const bool is_inside = path != nullptr && std::strncmp(path, plan.folder, std::strlen(plan.folder)) == 0;
  if (is_inside) counts_allocations = true;
  return is_inside;
}

bool tracks(int descriptor) {
  return descriptor >= 0 && descriptor < kMostDescriptors && is_ours[descriptor];
}

void pause_here() {
  armed = false;  // the calls below must not be counted
  char byte = 'p';
  next<ssize_t(int, const void*, std::size_t)>("write")(plan.paused, &byte, 1);
  next<ssize_t(int, void*, std::size_t)>("read")(plan.resumed, &byte, 1);
  armed = true;
}

/// Counts a call. Returns true if this call has to fail or to write less.
bool is_disturbed(ShimTarget target) {
  if (!armed || plan.target != target) return false;
  if (n_calls++ != plan.nth) return false;
  if (plan.action == ShimAction::kDie) ::_exit(137);
  if (plan.action == ShimAction::kPause) pause_here();
  return plan.action == ShimAction::kFail || plan.action == ShimAction::kShortWrite;
}

/// Like is_disturbed(), for calls that can fail but cannot be shortened. Sets errno if the call has to fail.
bool fails(bool concerns, int error_number) {
  if (!concerns || !is_disturbed(ShimTarget::kSystemCalls) || plan.action != ShimAction::kFail) return false;
  errno = error_number;
  return true;
}

int track(int descriptor, bool concerns) {
  if (armed && concerns && descriptor >= 0 && descriptor < kMostDescriptors) is_ours[descriptor] = true;
  return descriptor;
}

int open_as(const char* name, const char* path, int flags, mode_t mode) {
  const bool concerns = armed && in_folder(path);
  if (fails(concerns, (flags & O_CREAT) != 0 ? ENOSPC : EMFILE)) return -1;
  return track(next<int(const char*, int, ...)>(name)(path, flags, mode), concerns);
}

template <typename Write>
ssize_t write_as(int descriptor, const void* bytes, std::size_t size, const Write& write) {
  if (tracks(descriptor) && is_disturbed(ShimTarget::kSystemCalls)) {
    if (plan.action == ShimAction::kFail) {
      errno = ENOSPC;
      return -1;
    }
    size /= 2;
  }
  return write(descriptor, bytes, size);
}

bool allocation_fails() {
  return counts_allocations && is_disturbed(ShimTarget::kAllocations) && plan.action == ShimAction::kFail;
}

/// Arms the shim in a program that was started with LD_PRELOAD.
__attribute__((constructor)) void arm_by_environment() {
  const char* folder = std::getenv("SS_SHIM_FOLDER");
  const char* target = std::getenv("SS_SHIM_TARGET");
  const char* nth = std::getenv("SS_SHIM_NTH");
  if (folder == nullptr || target == nullptr || nth == nullptr) return;
  ::unsetenv("LD_PRELOAD");
  counts_allocations = false;
  const ShimPlan wanted{
      .action = ShimAction::kFail,
      .target = std::strcmp(target, "calls") == 0 ? ShimTarget::kSystemCalls : ShimTarget::kAllocations,
      .nth = std::atol(nth),
      .folder = folder};
  shim_arm(&wanted);
}

/// Reports the number of counted calls to the test that started the program.
__attribute__((destructor)) void report_count() {
  const char* path = std::getenv("SS_SHIM_COUNT");
  shim_disarm();
  FILE* const file = path != nullptr ? std::fopen(path, "w") : nullptr;
  if (file == nullptr) return;
  std::fprintf(file, "%ld", shim_count());
  std::fclose(file);
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void shim_arm(const ShimPlan* wanted) {
  plan = *wanted;
  n_calls = 0;
  std::memset(is_ours, 0, sizeof is_ours);
  armed = true;
}

void shim_disarm() {
  armed = false;
}

long shim_count() {
  return n_calls;
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return open_as("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return open_as("open64", path, flags, mode);
}

DIR* opendir(const char* path) {
  if (fails(armed && in_folder(path), EMFILE)) return nullptr;
  return next<DIR*(const char*)>("opendir")(path);
}

ssize_t read(int descriptor, void* bytes, std::size_t size) {
  if (fails(tracks(descriptor), EIO)) return -1;
  return next<ssize_t(int, void*, std::size_t)>("read")(descriptor, bytes, size);
}

ssize_t pread(int descriptor, void* bytes, std::size_t size, off_t offset) {
  if (fails(tracks(descriptor), EIO)) return -1;
  return next<ssize_t(int, void*, std::size_t, off_t)>("pread")(descriptor, bytes, size, offset);
}

ssize_t write(int descriptor, const void* bytes, std::size_t size) {
  return write_as(descriptor, bytes, size, next<ssize_t(int, const void*, std::size_t)>("write"));
}

int fsync(int descriptor) {
  return fails(tracks(descriptor), EIO) ? -1 : next<int(int)>("fsync")(descriptor);
}

int fdatasync(int descriptor) {
  return fails(tracks(descriptor), EIO) ? -1 : next<int(int)>("fdatasync")(descriptor);
}

int ftruncate(int descriptor, off_t size) {
  return fails(tracks(descriptor), EIO) ? -1 : next<int(int, off_t)>("ftruncate")(descriptor, size);
}

int flock(int descriptor, int operation) {
  return fails(tracks(descriptor), ENOLCK) ? -1 : next<int(int, int)>("flock")(descriptor, operation);
}

int close(int descriptor) {
  const bool concerns = tracks(descriptor);
  if (concerns) is_ours[descriptor] = false;
  const bool failing = fails(concerns, EIO);
  const int result = next<int(int)>("close")(descriptor);  // Linux closes the descriptor even if it reports an error
  if (failing) errno = EIO;
  return failing ? -1 : result;
}

int rename(const char* from, const char* to) {
  return fails(armed && in_folder(to), ENOSPC) ? -1 : next<int(const char*, const char*)>("rename")(from, to);
}

int link(const char* from, const char* to) {
  return fails(armed && in_folder(to), ENOSPC) ? -1 : next<int(const char*, const char*)>("link")(from, to);
}

int unlink(const char* path) {
  return fails(armed && in_folder(path), EIO) ? -1 : next<int(const char*)>("unlink")(path);
}

int unlinkat(int folder, const char* path, int flags) {
  if (fails((armed && in_folder(path)) || tracks(folder), EIO)) return -1;
  return next<int(int, const char*, int)>("unlinkat")(folder, path, flags);
}

int mkdir(const char* path, mode_t mode) {
  return fails(armed && in_folder(path), ENOSPC) ? -1 : next<int(const char*, mode_t)>("mkdir")(path, mode);
}

void* malloc(std::size_t size) {
  return allocation_fails() ? nullptr : __libc_malloc(size);
}

void* calloc(std::size_t count, std::size_t size) {
  return allocation_fails() ? nullptr : __libc_calloc(count, size);
}

void* realloc(void* memory, std::size_t size) {
  return allocation_fails() ? nullptr : __libc_realloc(memory, size);
}
}
#pragma GCC visibility pop
