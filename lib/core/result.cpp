#include "core/result.h"

#include <cstdio>
#include <cstdlib>

namespace secondsource {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidInput:
      return "invalid-input";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kOutOfMemory:
      return "out-of-memory";
    case ErrorCode::kDeviceLost:
      return "device-lost";
    case ErrorCode::kDeadline:
      return "deadline";
    case ErrorCode::kInterrupted:
      return "interrupted";
    case ErrorCode::kNotComparable:
      return "not-comparable";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

Error Error::with_context(std::string_view context) const {
  return Error{code, std::string(context) + ": " + message};
}

namespace detail {
void bad_result_access(const Error& error) {
  std::fprintf(stderr, "internal error: the value of a failed Result was read: %s\n", error.message.c_str());
  std::abort();
}
}  // namespace detail

}  // namespace secondsource
