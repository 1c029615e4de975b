// Prefill attention with head_dim 256, the widest: every target's kernel against plain loops in double precision.

#include <cmath>
#include <random>
#include <vector>

#include "gpu/kernels/tables.h"
#include "gpu/shim/device.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::gpu {
namespace {

constexpr std::size_t kHeadDim = 256;
constexpr std::size_t kHeads = 2;  // query heads of one KV head
constexpr std::size_t kTokens = 40;
constexpr std::size_t kBefore = 5;  // positions already in the cache
constexpr std::size_t kPageTokens = 16;
constexpr std::size_t kPages = 3;

struct Target {
  const char* name;
  const KernelTable& (*kernels)();
  PrefillBy prefill = PrefillBy::kWarps;
};

/// Index of a position's row in the cache.
std::size_t cache_row(const std::vector<std::int32_t>& block_table, std::size_t position) {
  return static_cast<std::size_t>(block_table[position / kPageTokens]) * kPageTokens + position % kPageTokens;
}

/// softmax(scale q K^T) V over the positions up to the token's own; [kTokens, kHeads, kHeadDim].
std::vector<double> attend(const std::vector<float>& q, const std::vector<Bf16>& keys, const std::vector<Bf16>& values,
                           const std::vector<std::int32_t>& block_table, double scale) {
  std::vector<double> out(q.size());
  for (std::size_t row = 0; row < kTokens * kHeads; ++row) {
    const std::size_t n_seen = kBefore + row / kHeads + 1;
    std::vector<double> weights(n_seen);
    double sum = 0;
    for (std::size_t position = 0; position < n_seen; ++position) {
      double score = 0;
      for (std::size_t d = 0; d < kHeadDim; ++d) {
        const Bf16 key = keys[cache_row(block_table, position) * kHeadDim + d];
        score += static_cast<double>(q[row * kHeadDim + d]) * static_cast<double>(to_float(key));
      }
      weights[position] = std::exp(scale * score);
      sum += weights[position];
    }
    for (std::size_t position = 0; position < n_seen; ++position) {
      for (std::size_t d = 0; d < kHeadDim; ++d) {
        const Bf16 value = values[cache_row(block_table, position) * kHeadDim + d];
        out[row * kHeadDim + d] += weights[position] / sum * static_cast<double>(to_float(value));
      }
    }
  }
  return out;
}

}  // namespace

TEST_CASE("prefill over heads of 256 is what attention is, on every target") {
  std::mt19937 random(1);
  const auto draw = [&] { return static_cast<float>(static_cast<int>(random() % 129) - 64) / 64.0F; };  // exact in BF16
  std::vector<float> q(kTokens * kHeads * kHeadDim);
  for (float& value : q) value = draw();
  std::vector<Bf16> keys(kPages * kPageTokens * kHeadDim);
  std::vector<Bf16> values(keys.size());
  for (auto* const cache : {&keys, &values}) {
    for (Bf16& value : *cache) value = to_bf16(draw());
  }
  std::vector<std::int32_t> block_table = {2, 0, 1};
  std::vector<std::int32_t> positions(kTokens);
  for (std::size_t t = 0; t < kTokens; ++t) positions[t] = static_cast<std::int32_t>(kBefore + t);
  constexpr float kScale = 1.0F / 8;
  const std::vector<double> expected = attend(q, keys, values, block_table, kScale);

  const std::vector<Target> targets = {{"sm_80", shim_sm_80::kernel_table},
                                       {"sm_90a", shim_sm_90a::kernel_table, PrefillBy::kWarpgroups},
                                       {"gfx90a", shim_gfx90a::kernel_table},
                                       {"gfx942", shim_gfx942::kernel_table},
                                       {"gfx1100", shim_gfx1100::kernel_table}};
  for (const Target& target : targets) {
    CAPTURE(target.name);
    const auto device = shim::make_shim_device({.target = target.name});
    const auto stream = device->create_stream().value();
    std::vector<void*> allocated;
    const auto copy_of = [&]<typename T>(const std::vector<T>& content) {
      allocated.push_back(device->allocate(content.size() * sizeof(T)).value());
      std::copy(content.begin(), content.end(), static_cast<T*>(allocated.back()));
      return static_cast<T*>(allocated.back());
    };
    AttentionArguments arguments{};
    arguments.batch.n_query_tiles = copy_of(std::vector<std::int32_t>{1});
    arguments.batch.query_tiles =
        copy_of(std::vector<QueryTile>{{.first_token = 0, .n_tokens = static_cast<std::int32_t>(kTokens), .seq = 0}});
    arguments.batch.positions = copy_of(positions);
    arguments.batch.block_table = copy_of(block_table);
    arguments.batch.max_pages_per_seq = static_cast<std::int32_t>(kPages);
    arguments.q = copy_of(q);
    arguments.out = copy_of(std::vector<float>(q.size()));
    arguments.kv = {.keys = copy_of(keys),
                    .values = copy_of(values),
                    .n_kv_heads = 1,
                    .page_tokens = static_cast<std::int32_t>(kPageTokens),
                    .head_dim = static_cast<std::int32_t>(kHeadDim)};
    arguments.scale = kScale;
    arguments.n_heads = static_cast<std::int32_t>(kHeads);
    arguments.max_query_tiles = 1;
    arguments.prefill = target.prefill;
    const LaunchContext context{.stream = *stream, .warp_size = device->properties().warp_size};
    REQUIRE_OK(target.kernels().attention(context, arguments));
    REQUIRE_OK(stream->synchronize());
    double worst = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double difference = std::fabs(static_cast<double>(arguments.out[i]) - expected[i]);
      worst = difference <= worst ? worst : difference;  // NaN is the worst
    }
    // Rounding the probabilities to BF16 changes each by at most 2^-9 of itself, and values are at most 1; the same again
    // allows for the f32 sums.
    CHECK(worst <= std::ldexp(1.0, -8));
    for (void* const memory : allocated) device->free(memory);
  }
}

}  // namespace secondsource::gpu
