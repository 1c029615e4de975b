#pragma once
// Implements the boundary's rule about failures: after the first failure of submit() or wait(), every call returns
// kDeviceLost with the first cause.

#include <optional>

#include "core/result.h"

namespace secondsource {

class Poison {
 public:
  /// Errors: kDeviceLost with the first cause, if there was a failure.
  [[nodiscard]] Result<void> healthy() const;
  /// Keeps `error` as the cause unless there is one already, and returns it for the caller to return.
  Error fail(Error error);

 private:
  std::optional<Error> cause_;
};

}  // namespace secondsource
