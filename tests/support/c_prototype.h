#pragma once
// Compares our own prototype of a vendor's C function with the vendor's header.

#include <type_traits>

#include "core/shared_library.h"

namespace secondsource::test {

/// True if both have the same number of parameters and each pair has the same size, which decides how the calling
/// convention passes it; pointers must match pointers.
template <typename... Own, typename Status, typename... Real>
constexpr bool matches(const CFunction<Own...>& /*own*/, Status (* /*real*/)(Real...)) {
  if constexpr (sizeof...(Own) != sizeof...(Real) || sizeof(Status) != sizeof(int)) {
    return false;
  } else {
    return ((sizeof(Own) == sizeof(Real) && std::is_pointer_v<Own> == std::is_pointer_v<Real>)&&...);
  }
}

}  // namespace secondsource::test
