#pragma once
// How the attention of sequences with one new token is divided over blocks: by the real lengths of the batch's sequences.
// A captured graph launches a grid of fixed size; the list of shares says what each of its blocks takes, and blocks past
// its end have nothing to do. So a short context of a model with many positions fills the device as a long one does, and
// one long sequence in a batch of short ones has more blocks than they have.

#include <span>

#include "backend/op.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

/// How the blocks of an attention kernel share a decode step.
struct DecodeBlocks {
  std::int32_t per_split = 1;      ///< that take the same share, each for other heads
  std::int32_t per_processor = 1;  ///< that a processor holds at the same time
};
[[nodiscard]] DecodeBlocks decode_blocks(const HeadShape& heads);

/// What the choice depends on besides the lengths.
struct DecodeSplitPlan {
  std::int32_t n_processors = 1;
  DecodeBlocks blocks = {};
  std::int32_t max_splits = 0;  ///< of all sequences of a batch: the size of the grid

  /// `length`: positions of the longest sequence.
  static DecodeSplitPlan make(std::int32_t n_processors, const DecodeBlocks& blocks, std::int32_t max_decodes,
                              std::int64_t length);
  /// Shares for sequences that see `lengths` positions, one number of shares each, which add up to at most max_splits.
  /// There are at most as many sequences as make() was told.
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
