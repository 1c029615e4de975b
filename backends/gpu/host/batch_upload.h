#pragma once
// A Batch on its way to the device: one pinned copy a step, to addresses that never change, and with it what the host
// works out of it (which sequence a token is of, what the attention kernels have to do).

#include <span>
#include <vector>

#include "backend/batch.h"
#include "gpu/host/device_memory.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

/// What a step's graph says about its batches, beyond the bucket.
struct BatchLimits {
  std::int32_t vocab_size = 0;  ///< of the embedding table; 0: there is none
  std::int32_t n_logits = 0;    ///< columns of what is sampled; 0: nothing is
  std::int32_t page_tokens = 1;
  std::int64_t n_pages = 0;
  bool attends = false;         ///< the cache is read: pages are looked at
  std::int32_t max_window = 0;  ///< the widest of the layers' windows; 0: all of the cache is seen
};

/// Room for the batches of one bucket.
class BatchUpload {
 public:
  static constexpr int kInFlight = 2;

  static Result<BatchUpload> create(DeviceMemory& memory, const Bucket& bucket);

  [[nodiscard]] const BatchView& view() const { return view_; }
  [[nodiscard]] const std::int32_t* n_seqs() const { return n_seqs_; }
  [[nodiscard]] std::int32_t max_query_tiles() const { return max_query_tiles_; }
  [[nodiscard]] std::int32_t max_decodes() const { return max_decodes_; }
  [[nodiscard]] std::size_t device_bytes() const { return device_.size_bytes(); }

  /// How much work of each kind the attention kernels have in one step.
  struct Work {
    std::int32_t n_query_tiles = 0;
    std::int32_t n_decodes = 0;
  };

  /// Checks every index that a kernel would follow, and enqueues the copy from staging place `place`, which no earlier
  /// copy may still need, with `before` recorded just before it. `sampled[slot]` says whether a slot's last sampled id
  /// exists, and is brought up to date.
  Result<Work> send(Stream& stream, const Batch& batch, const BatchLimits& limits, std::vector<bool>& sampled,
                    int place, Event& before);

 private:
  Bucket bucket_;
  DeviceBuffer device_;
  DeviceBuffer staging_[kInFlight];
  BatchView view_;
  const std::int32_t* n_seqs_ = nullptr;
  std::int32_t max_query_tiles_ = 0;
  std::int32_t max_decodes_ = 0;
};

}  // namespace secondsource::gpu
