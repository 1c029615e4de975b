#include <fmt/format.h>

#include <algorithm>

#include "backend_kit/eager_step.h"
#include "core/clock.h"

namespace secondsource {

EagerQueue::EagerQueue(std::int32_t n_seq_slots, MemoryAccount* account)
    : last_sampled_(static_cast<std::size_t>(n_seq_slots), -1), account_(account != nullptr ? account : &own_account_) {
  pending_.reserve(kMaxInFlight);
}

Ticket EagerQueue::push(Result<StepResult> result) {
  if (!result) (void)fail(result.error());
  const Ticket ticket{next_ticket_++};
  pending_.push_back({ticket, std::move(result), now_ns()});
  return ticket;
}

Result<StepResult> EagerQueue::take(Ticket ticket, Deadline deadline) {
  const auto found =
      std::find_if(pending_.begin(), pending_.end(), [&](const Pending& p) { return p.ticket == ticket; });
  if (found == pending_.end()) {
    SS_TRY_VOID(healthy());
    return fail(Error{ErrorCode::kInvalidInput,
                      fmt::format("wait: ticket {} is not in flight", static_cast<std::int64_t>(ticket))});
  }
  Pending taken = std::move(*found);
  pending_.erase(found);
  if (!taken.result) return taken.result;
  SS_TRY_VOID(healthy());
  if (taken.finished_at_ns > deadline.at_ns) {
    return fail(Error{ErrorCode::kDeadline,
                      fmt::format("step {}: finished {} ms after its deadline", static_cast<std::int64_t>(ticket),
                                  (taken.finished_at_ns - deadline.at_ns) / 1'000'000)});
  }
  return taken.result;
}

Result<void> EagerQueue::reserve_workspace(std::size_t bytes) {
  if (bytes <= workspace_.size_bytes()) return {};
  const std::size_t old_bytes = workspace_.size_bytes();
  // Freed first, because the old and the new buffer together would raise the peak needlessly.
  workspace_ = HostBuffer();
  workspace_owner_ = nullptr;
  auto grown = HostBuffer::allocate(*account_, MemoryPurpose::kWorkspace, bytes, HugePages::kAdvise);
  if (!grown) {
    // The existing steps still need the old size.
    auto restored = HostBuffer::allocate(*account_, MemoryPurpose::kWorkspace, old_bytes, HugePages::kAdvise);
    if (!restored) return fail(restored.error().with_context("workspace"));
    workspace_ = std::move(restored).value();
    return grown.error().with_context("workspace");
  }
  workspace_ = std::move(grown).value();
  return {};
}

}  // namespace secondsource
