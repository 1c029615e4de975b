#pragma once
// Sends a Batch to the device: one pinned copy per step, to addresses that never change, together with what the host
// derives from it (the sequence of each token, the work lists of the attention kernels).

#include <algorithm>
#include <span>
#include <vector>

#include "backend/batch.h"
#include "gpu/host/decode_splits.h"
#include "gpu/host/device_memory.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

/// Limits on a step's batches that follow from its graph, beyond the bucket.
struct BatchLimits {
  std::int32_t vocab_size = 0;  ///< rows of the embedding table; 0: the graph has none
  std::int32_t n_logits = 0;    ///< columns of the sampled logits; 0: the graph does not sample
  std::int32_t page_tokens = 1;
  std::int64_t n_pages = 0;
  bool attends = false;         ///< the graph reads the cache, so page ids are checked
  std::int32_t max_window = 0;  ///< the widest window of all layers; 0: unlimited
};

/// The device and staging buffers for the batches of one bucket.
class BatchUpload {
 public:
  static constexpr int kInFlight = 2;

  /// `splits`: made for max_decodes(bucket) sequences with one token, as many as fit the bucket.
  static Result<BatchUpload> create(DeviceMemory& memory, const Bucket& bucket, const DecodeSplitPlan& splits);
  [[nodiscard]] static std::int32_t max_decodes(const Bucket& bucket) {
    return std::min(bucket.max_seqs, bucket.max_tokens);
  }

  [[nodiscard]] const BatchView& view() const { return view_; }
  [[nodiscard]] const std::int32_t* n_seqs() const { return n_seqs_; }
  [[nodiscard]] std::int32_t max_query_tiles() const { return max_query_tiles_; }
  [[nodiscard]] std::int32_t max_decode_splits() const { return splits_.max_splits; }
  [[nodiscard]] std::size_t device_bytes() const { return device_.size_bytes(); }

  /// Work of the attention kernels in one step.
  struct Work {
    std::int32_t n_query_tiles = 0;
    std::int32_t n_decodes = 0;  ///< sequences with one token
  };

  /// Checks every index that a kernel would follow, fills staging buffer `place`, which no pending copy may use, records
  /// `before` and enqueues the copy. `sampled[slot]`: whether the slot has a last sampled id; updated. Errors:
  /// kInvalidInput.
  Result<Work> send(Stream& stream, const Batch& batch, const BatchLimits& limits, std::vector<bool>& sampled,
                    int place, Event& before);

 private:
  class Staging;

  /// Fills what the kernels read of each sequence: its tokens' sequence and slot, its pages, and the lists of work.
  Result<Work> stage_sequences(const Batch& batch, const BatchLimits& limits, const Staging& at) const;
  /// Fills how each row of logits is sampled, and marks the slots that get a sampled id by it.
  Result<void> stage_samples(const Batch& batch, const BatchLimits& limits, const Staging& at,
                             std::vector<bool>& sampled) const;
  /// Fills the list of shares for the sequences whose only token is one of `tokens`.
  void divide_decodes(const Batch& batch, const BatchLimits& limits, std::span<const std::int32_t> tokens,
                      std::span<DecodeSplit> list) const;

  Bucket bucket_;
  DeviceBuffer device_;
  DeviceBuffer staging_[kInFlight];
  BatchView view_;
  const std::int32_t* n_seqs_ = nullptr;
  std::int32_t max_query_tiles_ = 0;
  DecodeSplitPlan splits_;
};

}  // namespace secondsource::gpu
