#pragma once
// The barriers of arrivals in one block's shared memory (portable/arrival_barrier.h), as PTX describes mbarrier objects.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "gpu/shim/order_place.h"

namespace secondsource::gpu::shim {

class ArrivalBarriers {
 public:
  /// Starts a new block, whose shared memory is poisoned.
  void begin(std::byte* shared, std::size_t shared_bytes);

  // Events. A returned string describes what was wrong with the event; it is empty if nothing was. `at`: offset of the barrier.
  [[nodiscard]] std::string init(std::size_t at, int n_arrivals, int thread);
  /// Makes the barriers that the thread has initialized usable for other blocks and for copies.
  void show(int thread);
  /// A thread of this block arrives, or one of another block; `n_bytes` are announced first.
  [[nodiscard]] std::string arrive(std::size_t at, std::int64_t n_bytes, bool is_of_other_block);
  /// A copy begins that will arrive at this barrier.
  [[nodiscard]] std::string expect_copy(std::size_t at) const;
  /// A copy has brought bytes.
  [[nodiscard]] std::string bring(std::size_t at, std::int64_t n_bytes);
  /// Whether the phase of this parity is complete. `wrong`: as the events return it.
  [[nodiscard]] bool is_complete(std::size_t at, int parity, std::string& wrong) const;
  /// "12 of 16 arrivals, 0 bytes missing".
  [[nodiscard]] std::string describe(std::size_t at) const;
  /// Orders the threads that arrive before the threads that wait, for ThreadSanitizer.
  [[nodiscard]] OrderPlace& order_of(std::size_t at) { return order_[at]; }

 private:
  struct Barrier {
    int n_arrivals = 0;  ///< of a phase
    int n_pending = 0;   ///< arrivals that the phase still waits for
    /// Announced and not brought yet. It is negative while copies have brought more than was announced.
    std::int64_t n_missing_bytes = 0;
    int phase = 0;
    int thread = 0;  ///< the thread that has initialized it
    bool is_shown = false;
  };
  /// What lies in shared memory in place of a barrier, so that a write over it is found.
  static constexpr std::uint64_t kMark = 0xba22e4ba22e4ba22U;

  [[nodiscard]] std::string check(std::size_t at) const;
  static void complete_if_due(Barrier& barrier);

  std::byte* shared_ = nullptr;
  std::size_t shared_bytes_ = 0;
  std::map<std::size_t, Barrier> barriers_;
  std::map<std::size_t, OrderPlace> order_;
};

}  // namespace secondsource::gpu::shim
