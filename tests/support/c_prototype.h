#pragma once
// An own prototype of a vendor's C function against the vendor's.

#include <type_traits>

#include "core/shared_library.h"

namespace secondsource::test {

/// As many parameters, each of the size that the real one has, by which the calling convention passes it; pointers for
/// pointers.
template <typename... Own, typename Status, typename... Real>
constexpr bool matches(const CFunction<Own...>& /*own*/, Status (* /*real*/)(Real...)) {
  if constexpr (sizeof...(Own) != sizeof...(Real) || sizeof(Status) != sizeof(int)) {
    return false;
  } else {
    return ((sizeof(Own) == sizeof(Real) && std::is_pointer_v<Own> == std::is_pointer_v<Real>)&&...);
  }
}

}  // namespace secondsource::test
