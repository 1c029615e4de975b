// Tests how decode attention is divided among blocks according to the lengths of the sequences. The kernel's index arithmetic is
// reimplemented here to check that every position is processed exactly once.

#include "gpu/host/decode_splits.h"

#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "support/catch.h"

namespace secondsource::gpu {
namespace {

constexpr std::int64_t kPositions = 131072;  ///< maximum length of the model's sequences

/// The number of shares of each sequence.
std::vector<std::int32_t> shares_of(const DecodeSplitPlan& plan, const std::vector<std::int32_t>& lengths) {
  const std::int32_t split_tokens = plan.split_tokens(lengths);
  std::vector<std::int32_t> shares;
  for (const std::int32_t length : lengths) shares.push_back(n_decode_splits(length, split_tokens));
  return shares;
}

std::int32_t sum_of(const std::vector<std::int32_t>& values) {
  return std::accumulate(values.begin(), values.end(), 0);
}

}  // namespace

TEST_CASE("division by a prepared number is division") {
  std::mt19937 random(7);
  for (std::int32_t i = 0; i < 3000; ++i) {
    const std::int32_t divisor = i < 1025 ? i + 1 : static_cast<std::int32_t>(random() >> 1 | 1U) >> (i % 31);
    const Divisor by = make_divisor(std::max(divisor, 1));
    const auto quotient = [&](std::int32_t n) {
      return static_cast<std::int64_t>(static_cast<std::uint64_t>(n) * by.multiplier >> by.shift);
    };
    for (std::int32_t n : {0, 1, std::max(divisor, 1) - 1, std::max(divisor, 1), INT32_MAX, INT32_MAX - 1,
                           static_cast<std::int32_t>(random() >> 1)}) {
      CAPTURE(divisor, n);
      CHECK(quotient(n) == n / std::max(divisor, 1));
      // Also test the two numbers between which the quotient changes.
      const std::int32_t multiple = n / std::max(divisor, 1) * std::max(divisor, 1);
      CHECK(quotient(multiple) == multiple / std::max(divisor, 1));
      if (multiple > 0) CHECK(quotient(multiple - 1) == (multiple - 1) / std::max(divisor, 1));
    }
  }
}

TEST_CASE("a context of 640 in a model of 131 072 positions has 128 blocks") {
  struct Model {
    const char* name;
    HeadShape heads;
  };
  for (const Model& model : {Model{"1B", {.n_heads = 32, .n_kv_heads = 8, .head_dim = 64}},
                             Model{"8B", {.n_heads = 32, .n_kv_heads = 8, .head_dim = 128}},
                             Model{"70B", {.n_heads = 64, .n_kv_heads = 8, .head_dim = 128}}}) {
    for (const std::int32_t n_processors : {108, 132, 304}) {  // A100, H100, MI300X
      CAPTURE(model.name, n_processors);
      const DecodeBlocks blocks = decode_blocks(model.heads);
      CHECK(blocks.per_split == 8);
      const DecodeSplitPlan plan = DecodeSplitPlan::make(n_processors, blocks, 1, kPositions);
      CHECK(sum_of(shares_of(plan, {640})) * blocks.per_split >= 128);
      CHECK(sum_of(shares_of(plan, {131072})) * blocks.per_split >= 3 * n_processors);
      // No share is shorter than 32 positions, however few blocks that gives.
      CHECK(sum_of(shares_of(plan, {64})) == 2);
      CHECK(sum_of(shares_of(plan, {1})) == 1);
    }
  }
}

TEST_CASE("a long context of latents has one block for each processor, as far as a sequence's shares suffice") {
  // DeepSeek-V2-Lite and DeepSeek-V3.
  for (const std::int32_t n_heads : {16, 128}) {
    for (const std::int32_t n_processors : {108, 132, 304}) {
      CAPTURE(n_heads, n_processors);
      const DecodeBlocks blocks =
          decode_blocks({.n_heads = n_heads, .n_kv_heads = 1, .head_dim = 576, .latent_dim = 512});
      CHECK(blocks.per_split == (n_heads == 16 ? 1 : 4));
      const DecodeSplitPlan plan = DecodeSplitPlan::make(n_processors, blocks, 1, kPositions);
      const std::int32_t n_blocks = sum_of(shares_of(plan, {131072})) * blocks.per_split;
      CHECK(n_blocks <= n_processors + blocks.per_split - 1);
      // A sequence has 128 shares at most.
      CHECK(n_blocks >= std::min(n_processors * 9 / 10, kMaxDecodeSplits));
    }
  }
}

TEST_CASE("a long sequence among short ones has more shares, and a full batch as many blocks as the device holds") {
  const DecodeSplitPlan plan = DecodeSplitPlan::make(132, {.per_split = 8, .per_processor = 4}, 64, kPositions);
  std::vector<std::int32_t> lengths(64, 500);
  lengths[20] = 120000;
  const std::vector<std::int32_t> shares = shares_of(plan, lengths);
  CHECK(shares[20] >= 32);
  CHECK(shares[0] == 1);
  CHECK(sum_of(shares) <= plan.max_splits);
}

TEST_CASE("the shares of any batch fit the grid and cover every position once") {
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    const auto n_processors = static_cast<std::int32_t>(1 + random() % 320);
    const DecodeBlocks blocks{.per_split = static_cast<std::int32_t>(1 + random() % 64),
                              .per_processor = static_cast<std::int32_t>(1 + random() % 4)};
    const auto max_decodes = static_cast<std::int32_t>(1 + random() % 256);
    const auto longest = static_cast<std::int32_t>(1 + (random() >> (8 + random() % 20)) % kPositions);
    const DecodeSplitPlan plan = DecodeSplitPlan::make(n_processors, blocks, max_decodes, longest);
    std::vector<std::int32_t> lengths(1 + random() % static_cast<std::uint32_t>(max_decodes));
    for (std::int32_t& length : lengths)
      length = static_cast<std::int32_t>(1 + random() % static_cast<std::uint32_t>(longest));
    const std::vector<std::int32_t> shares = shares_of(plan, lengths);
    CAPTURE(n_processors, blocks.per_split, blocks.per_processor, max_decodes, longest, lengths.size());
    CHECK(sum_of(shares) <= plan.max_splits);
    for (std::size_t s = 0; s < lengths.size(); ++s) {
      CHECK(shares[s] >= 1);
      CHECK(shares[s] <= kMaxDecodeSplits);
      // The kernel divides the positions that a layer sees by the shares and rounds up to whole steps. The shares must cover them,
      // also in a layer whose window is shorter than the sequence.
      for (const std::int32_t visible : {lengths[s], (lengths[s] + 2) / 3}) {
        const std::int32_t step = (visible + shares[s] - 1) / shares[s];
        CHECK((step + kDecodeSplitStep - 1) / kDecodeSplitStep * kDecodeSplitStep * shares[s] >= visible);
      }
    }
  }
}

}  // namespace secondsource::gpu
