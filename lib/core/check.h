#pragma once
// SS_CHECK states a condition that holds unless this program has a bug. It stays on in release builds; when it fails it
// prints the place and the reason, and aborts. Never use it on user input, files or devices: those failures are
// Results.

namespace secondsource::detail {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* message);
}  // namespace secondsource::detail

#define SS_CHECK(condition, message) \
  ((condition) ? void(0) : ::secondsource::detail::check_failed(__FILE__, __LINE__, #condition, message))

#ifdef NDEBUG
#define SS_DCHECK(condition, message) void(0)
#else
#define SS_DCHECK(condition, message) SS_CHECK(condition, message)
#endif
