#pragma once
// The submitted batches of one step whose results were not taken yet: their events and pinned result buffers, allocated
// once when the step is compiled.

#include <array>
#include <memory>
#include <vector>

#include "gpu/host/backend.h"
#include "gpu/host/batch_upload.h"

namespace secondsource::gpu {

/// One submitted batch, from submit() until wait().
struct Flight {
  bool busy = false;
  bool made_ready = false;  ///< submit() had to capture a graph
  Ticket ticket{};
  std::array<std::int32_t, 3> rows{};  ///< rows of the batch, indexed by Rows
  DeviceBuffer results;                ///< pinned, in the layout of SampleResults
  std::unique_ptr<Event> sent;         ///< before the batch is copied to the device
  std::unique_ptr<Event> begin;        ///< before the first operation
  std::unique_ptr<Event> end;          ///< after the last operation, before the results are copied to the host
  std::unique_ptr<Event> done;
  std::vector<std::unique_ptr<Event>> after_group;  ///< one per group in traced steps, else empty

  [[nodiscard]] std::int32_t n_logit_rows() const { return rows[static_cast<std::size_t>(Rows::kLogits)]; }
  /// Fills in the times of `result` from the events, which are done.
  Result<void> read_times(Device& device, StepResult& result) const;
};

class Flights {
 public:
  /// `n_timed_groups`: groups of a traced step, else 0. Errors: kOutOfMemory, kDeviceLost.
  Result<void> create(Device& device, std::size_t result_bytes, std::size_t n_timed_groups);

  /// A flight that is not busy, with its index in [0, BatchUpload::kInFlight); null if there is none.
  struct Free {
    Flight* flight = nullptr;
    int index = 0;
  };
  [[nodiscard]] Free find_free();
  /// The busy flight with this ticket, or null.
  [[nodiscard]] Flight* find(Ticket ticket);
  [[nodiscard]] bool has(Ticket ticket) const;
  [[nodiscard]] bool any_busy() const;

 private:
  std::array<Flight, BatchUpload::kInFlight> flights_;
};

}  // namespace secondsource::gpu
