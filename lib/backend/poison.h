#pragma once
// The boundary's rule about failures: after the first of submit() or wait(), every call returns kDeviceLost with the
// first cause.

#include <optional>

#include "core/result.h"

namespace secondsource {

class Poison {
 public:
  /// Errors: kDeviceLost with the first cause, once there is one.
  [[nodiscard]] Result<void> healthy() const;
  /// Poisons, unless something did before, and returns `error` for the caller to return.
  Error fail(Error error);

 private:
  std::optional<Error> cause_;
};

}  // namespace secondsource
