#pragma once
// A C library that may be absent and is opened at run time, such as a vendor's driver, sensor library or matmul
// library. If it is missing, the user gets a message instead of a program that does not start.
//
//   constexpr CFunction<unsigned*> kGetCount{"nvmlDeviceGetCount_v2"};      // int nvmlDeviceGetCount_v2(unsigned*)
//   SS_TRY(const SharedLibrary nvml, SharedLibrary::open({"libnvidia-ml.so.1"}));
//   SS_TRY(const unsigned n_devices, nvml.get<unsigned>(kGetCount));

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/result.h"

namespace secondsource {

/// The name and the parameter types of a C function that returns 0 for success, as the vendors' functions do.
template <typename... Parameters>
struct CFunction {
  const char* name;
};

class SharedLibrary {
 public:
  /// Describes a status other than 0, if possible in the library's own words.
  using DescribeStatus = std::function<std::string(const SharedLibrary& library, int status)>;

  /// Loads the first of `names` (file names or paths) that can be loaded, with RTLD_NOW | RTLD_LOCAL. It is never
  /// closed, because drivers keep threads that would then run unmapped code.
  /// Errors: kUnavailable, "libcuda.so.1 not found"; with several names, the error of the first one that exists.
  static Result<SharedLibrary> open(const std::vector<std::string>& names, DescribeStatus describe = {});

  /// Null when the library does not have the symbol.
  [[nodiscard]] void* find(const char* name) const;

  /// Errors: kUnavailable when the library lacks the function, or with the description of a nonzero status.
  template <typename... Parameters>
  Result<void> call(const CFunction<Parameters...>& function, std::type_identity_t<Parameters>... arguments) const {
    const auto entry = reinterpret_cast<int (*)(Parameters...)>(find(function.name));
    if (entry == nullptr) return missing(function.name);
    const int status = entry(arguments...);
    if (status != 0) return failed(function.name, status);
    return {};
  }

  /// Calls the function and returns the value that it writes through its last parameter.
  template <typename Value, typename... Parameters, typename... Arguments>
  Result<Value> get(const CFunction<Parameters...>& function, Arguments... arguments) const {
    Value value{};
    SS_TRY_VOID(call(function, arguments..., &value));
    return value;
  }

  /// Calls the function and returns the text that it writes into its last two parameters, a buffer and its size.
  template <typename... Parameters, typename... Arguments>
  Result<std::string> get_text(const CFunction<Parameters...>& function, Arguments... arguments) const {
    std::array<char, 128> text{};
    SS_TRY_VOID(call(function, arguments..., text.data(), static_cast<unsigned>(text.size())));
    text.back() = '\0';
    return std::string(text.data());
  }

  /// The name under which the library was found.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  SharedLibrary(void* handle, std::string name, DescribeStatus describe)
      : handle_(handle), name_(std::move(name)), describe_(std::move(describe)) {}
  [[nodiscard]] Error missing(const char* function) const;
  [[nodiscard]] Error failed(const char* function, int status) const;

  void* handle_;
  std::string name_;
  DescribeStatus describe_;
};

}  // namespace secondsource
