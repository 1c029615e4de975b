#pragma once
// Divides the attention of sequences with one new token over blocks, by the real lengths of the batch's sequences. A captured
// graph launches a grid of fixed size; a list says which share each of its blocks computes, and blocks past the end of the
// list have nothing to do. So a short context fills the device as a long one does, whatever the model's limit, and one long
// sequence in a batch of short ones gets more blocks than each of them.

#include <span>

#include "backend/op.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

/// How the blocks of an attention kernel share a decode step.
struct DecodeBlocks {
  std::int32_t per_split = 1;      ///< blocks that compute the same share, each for other heads
  std::int32_t per_processor = 1;  ///< blocks that a processor holds at the same time
};
[[nodiscard]] DecodeBlocks decode_blocks(const HeadShape& heads);

/// What the choice depends on besides the lengths.
struct DecodeSplitPlan {
  std::int32_t n_processors = 1;
  DecodeBlocks blocks = {};
  std::int32_t max_splits = 0;  ///< the most shares of all sequences of a batch: the size of the grid

  /// `length`: positions of the longest sequence.
  static DecodeSplitPlan make(std::int32_t n_processors, const DecodeBlocks& blocks, std::int32_t max_decodes,
                              std::int64_t length);
  /// The positions of a share, for sequences that see `lengths` positions: so many that there are at most max_splits shares.
  /// There are at most `max_decodes` sequences, as passed to make().
  [[nodiscard]] std::int32_t split_tokens(std::span<const std::int32_t> lengths) const;
};

/// Shares of a sequence that sees `length` positions, of about `split_tokens` each.
[[nodiscard]] std::int32_t n_decode_splits(std::int32_t length, std::int32_t split_tokens);

/// Sums of the shares in the scratch of an operation.
struct PartialAttention {
  float* sums = nullptr;     ///< AttentionArguments::partial
  float* softmax = nullptr;  ///< AttentionArguments::partial_softmax
};
[[nodiscard]] PartialAttention partial_attention(std::byte* scratch, std::int32_t max_splits, const HeadShape& heads);
[[nodiscard]] std::size_t partial_attention_bytes(std::int32_t max_splits, const HeadShape& heads);

}  // namespace secondsource::gpu
