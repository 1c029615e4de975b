#include "core/result.h"

#include <cstdio>
#include <cstdlib>

namespace secondsource {

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
