#include "gpu/host/decode_splits.h"

#include <algorithm>

#include "core/checked.h"

namespace secondsource::gpu {
namespace {

/// The fewest positions of a share. Four warps of decode_attention.cpp take as many at a time if heads have 65 to 128 values and fewer than
/// eight share a KV head; latent_attention.cpp takes them in tiles of as many.
constexpr std::int32_t kFewestTokens = 32;
/// A share of this many positions is worth the extra write and read of its partial sums. Shares are shorter only where blocks are too few.
constexpr std::int32_t kEnoughTokens = 128;
/// A batch is divided into at least this many blocks, or one for each processor if these are more, as long as shares keep kFewestTokens.
constexpr std::int32_t kFewestBlocks = 128;

/// The number of shares that fills the device.
std::int32_t splits_to_fill(const DecodeSplitPlan& plan) {
  return ceil_divide(plan.blocks.per_processor * plan.n_processors, plan.blocks.per_split);
}

}  // namespace

DecodeBlocks decode_blocks(const HeadShape& heads) {
  // A processor holds one block, whose keys, queries and sums fill its shared memory and most of its registers. The count assumes 32 heads
  // for each block; on gfx11 a block has only 16 heads, so that twice as many blocks are launched as are counted here.
  if (heads.latent_dim > 0) return {.per_split = ceil_divide(heads.n_heads, kMaxLatentHeads), .per_processor = 1};
  return {.per_split = heads.n_kv_heads * ceil_divide(heads.n_heads / heads.n_kv_heads, kMaxDecodeHeads),
          .per_processor = 4};
}

DecodeSplitPlan DecodeSplitPlan::make(std::int32_t n_processors, const DecodeBlocks& blocks, std::int32_t max_decodes,
                                      std::int64_t length) {
  DecodeSplitPlan plan{.n_processors = n_processors, .blocks = blocks};
  const std::int64_t most =
      std::int64_t{max_decodes} *
      std::clamp<std::int64_t>(ceil_divide<std::int64_t>(length, kFewestTokens), 1, kMaxDecodeSplits);
  // The last share of every sequence may be a short one.
  plan.max_splits = static_cast<std::int32_t>(std::min<std::int64_t>(most, max_decodes + splits_to_fill(plan)));
  return plan;
}

std::int32_t DecodeSplitPlan::split_tokens(std::span<const std::int32_t> lengths) const {
  std::int64_t total = 0;
  for (const std::int32_t length : lengths) total += length;
  const std::int64_t few = ceil_divide(std::max(kFewestBlocks, n_processors), blocks.per_split);
  const std::int64_t n_splits = std::min<std::int64_t>(std::max(few, total / kEnoughTokens), splits_to_fill(*this));
  // Each sequence's number of shares is rounded up, so that their sum is below n_splits + the number of sequences.
  const std::int64_t tokens =
      std::max<std::int64_t>(kFewestTokens, ceil_divide(total, std::max<std::int64_t>(n_splits, 1)));
  return static_cast<std::int32_t>(round_up<std::int64_t>(tokens, kDecodeSplitStep));
}

std::int32_t n_decode_splits(std::int32_t length, std::int32_t split_tokens) {
  return std::clamp(ceil_divide(length, split_tokens), 1, kMaxDecodeSplits);
}

PartialAttention partial_attention(std::byte* scratch, std::int32_t max_splits, const HeadShape& heads) {
  auto* const sums = reinterpret_cast<float*>(scratch);
  return {.sums = sums, .softmax = sums + std::int64_t{max_splits} * heads.n_heads * heads.value_dim()};
}

std::size_t partial_attention_bytes(std::int32_t max_splits, const HeadShape& heads) {
  return static_cast<std::size_t>(std::int64_t{max_splits} * heads.n_heads * (heads.value_dim() + 2)) * sizeof(float);
}

}  // namespace secondsource::gpu
