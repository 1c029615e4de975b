#include "gpu/shim/arrival_barriers.h"

#include <fmt/format.h>

#include <cstring>

namespace secondsource::gpu::shim {
namespace {

constexpr int kMostArrivals = (1 << 20) - 1;
constexpr std::int64_t kMostBytes = (1 << 20) - 1;

}  // namespace

void ArrivalBarriers::begin(std::byte* shared, std::size_t shared_bytes) {
  shared_ = shared;
  shared_bytes_ = shared_bytes;
  barriers_.clear();
  order_.clear();
}

std::string ArrivalBarriers::init(std::size_t at, int n_arrivals, int thread) {
  if (at % sizeof(kMark) != 0 || at > shared_bytes_ - sizeof(kMark)) {
    return fmt::format("a barrier of arrivals at byte {} of {} of shared memory", at, shared_bytes_);
  }
  if (n_arrivals < 1 || n_arrivals > kMostArrivals) return fmt::format("a barrier of {} arrivals", n_arrivals);
  if (barriers_.contains(at)) return fmt::format("the barrier at byte {} is initialized a second time", at);
  barriers_[at] = {.n_arrivals = n_arrivals, .n_pending = n_arrivals, .thread = thread};
  std::memcpy(shared_ + at, &kMark, sizeof(kMark));
  return {};
}

void ArrivalBarriers::show(int thread) {
  for (auto& [at, barrier] : barriers_) barrier.is_shown |= barrier.thread == thread;
}

std::string ArrivalBarriers::check(std::size_t at) const {
  if (!barriers_.contains(at)) return fmt::format("nobody has initialized a barrier at byte {}", at);
  if (std::memcmp(shared_ + at, &kMark, sizeof(kMark)) != 0) {
    return fmt::format("the barrier at byte {} was overwritten", at);
  }
  return {};
}

void ArrivalBarriers::complete_if_due(Barrier& barrier) {
  if (barrier.n_pending > 0 || barrier.n_missing_bytes != 0) return;
  ++barrier.phase;
  barrier.n_pending = barrier.n_arrivals;
}

std::string ArrivalBarriers::arrive(std::size_t at, std::int64_t n_bytes, bool is_of_other_block) {
  if (std::string wrong = check(at); !wrong.empty()) return wrong;
  Barrier& barrier = barriers_.at(at);
  if (is_of_other_block && !barrier.is_shown)
    return fmt::format("the barrier at byte {} was not shown to other blocks", at);
  if (barrier.n_pending == 0) return fmt::format("more arrivals at the barrier at byte {} than a phase has", at);
  barrier.n_missing_bytes += n_bytes;
  if (barrier.n_missing_bytes > kMostBytes) return fmt::format("{} bytes at one barrier", barrier.n_missing_bytes);
  --barrier.n_pending;
  complete_if_due(barrier);
  return {};
}

std::string ArrivalBarriers::expect_copy(std::size_t at) const {
  if (std::string wrong = check(at); !wrong.empty()) return wrong;
  return barriers_.at(at).is_shown ? "" : fmt::format("the barrier at byte {} was not shown to copies", at);
}

std::string ArrivalBarriers::bring(std::size_t at, std::int64_t n_bytes) {
  if (std::string wrong = check(at); !wrong.empty()) return wrong;
  Barrier& barrier = barriers_.at(at);
  barrier.n_missing_bytes -= n_bytes;
  complete_if_due(barrier);
  return {};
}

bool ArrivalBarriers::is_complete(std::size_t at, int parity, std::string& wrong) const {
  wrong = check(at);
  return wrong.empty() && barriers_.at(at).phase % 2 != parity;
}

std::string ArrivalBarriers::describe(std::size_t at) const {
  const auto found = barriers_.find(at);
  if (found == barriers_.end()) return "not initialized";
  const Barrier& barrier = found->second;
  return fmt::format("{} of {} arrivals, {} bytes missing", barrier.n_arrivals - barrier.n_pending, barrier.n_arrivals,
                     barrier.n_missing_bytes);
}

}  // namespace secondsource::gpu::shim
