#include "core/shared_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace secondsource {
namespace {

/// The message of dlerror() in plain words: "libdnnl.so.3: cannot open shared object file: No such file or directory"
/// becomes "libdnnl.so.3 not found".
std::string load_error() {
  const char* const said = dlerror();
  const std::string_view text = said != nullptr ? said : "the dynamic linker gave no reason";
  constexpr std::string_view kNotFound = ": cannot open shared object file: No such file or directory";
  if (text.ends_with(kNotFound)) return fmt::format("{} not found", text.substr(0, text.size() - kNotFound.size()));
  return std::string(text);
}

}  // namespace

Result<SharedLibrary> SharedLibrary::open(const std::vector<std::string>& names, DescribeStatus describe) {
  std::string why;
  for (const std::string& name : names) {
    void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) return SharedLibrary(handle, name, std::move(describe));
    const std::string error = load_error();
    // An error from a library that exists but cannot be loaded is more useful than "not found".
    if (why.empty() || (why == names.front() + " not found" && error != name + " not found")) why = error;
  }
  return Error{ErrorCode::kUnavailable, why};
}

void* SharedLibrary::find(const char* name) const {
  return dlsym(handle_, name);
}

Error SharedLibrary::missing(const char* function) const {
  return {ErrorCode::kUnavailable, fmt::format("{} has no {}", name_, function)};
}

Error SharedLibrary::failed(const char* function, int status) const {
  return {ErrorCode::kUnavailable,
          fmt::format("{}: {}", function, describe_ ? describe_(*this, status) : fmt::format("status {}", status))};
}

}  // namespace secondsource
