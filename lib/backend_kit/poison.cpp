#include "backend_kit/poison.h"

namespace secondsource {

Result<void> Poison::healthy() const {
  if (!cause_) return {};
  return Error{ErrorCode::kDeviceLost, "the backend failed before: " + cause_->message};
}

Error Poison::fail(Error error) {
  if (!cause_) cause_ = error;
  return error;
}

}  // namespace secondsource
