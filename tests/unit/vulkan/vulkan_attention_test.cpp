// Tests attention of several tokens with queries, keys and values of very different magnitudes. On a device with cooperative matrices,
// these numbers are multiplied in FP16, whose range is much smaller. The expected results are computed in f64 with plain loops.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/half.h"
#include "gpu/host/device_memory.h"
#include "unit/vulkan/numbers.h"
#include "unit/vulkan/opened_device.h"
#include "vulkan/launchers.h"

using namespace secondsource;
using namespace secondsource::gpu;

namespace {

constexpr std::int32_t kTokens = 150;  // five tiles of 32 positions
constexpr std::int32_t kHeads = 3;     // query heads of one KV head
constexpr std::int32_t kTile = 32;

/// The binary exponents of queries, of keys and of the values in the first tile. Within a tile, the exponents of different positions'
/// values are up to 6 larger.
struct Magnitudes {
  std::string name;
  int queries = 0;
  int keys = 0;
  int first_values = 0;
  int step_of_values = 0;      ///< from tile to tile
  bool has_zero_tile = false;  ///< the first tile has keys and values of 0
  bool has_infinity = false;   ///< in dimension kInfiniteDim of the value of position kInfinitePosition
};
constexpr std::int32_t kInfinitePosition = 40;
constexpr std::int32_t kInfiniteDim = 6;

struct Problem {
  std::int32_t head_dim = 0;
  bool has_infinity = false;
  std::vector<float> q;       ///< [kTokens, kHeads, head_dim]
  std::vector<float> keys;    ///< [kTokens, head_dim]
  std::vector<float> values;  ///< [kTokens, head_dim]
  float scale = 0;            ///< chosen such that scores are a few units large

  Problem(const Magnitudes& of, std::int32_t dim)
      : head_dim(dim),
        has_infinity(of.has_infinity),
        scale(std::ldexp(2.0F / std::sqrt(static_cast<float>(dim)), 2 - of.queries - of.keys)) {
    for (std::int32_t row = 0; row < kTokens * kHeads; ++row) {
      for (std::int32_t col = 0; col < dim; ++col) q.push_back(vulkan::test::number(1, row, col, of.queries));
    }
    for (std::int32_t row = 0; row < kTokens; ++row) {
      const bool is_zero = of.has_zero_tile && row < kTile;
      const int of_values = of.first_values + row / kTile * of.step_of_values + row % 7;
      for (std::int32_t col = 0; col < dim; ++col) {
        keys.push_back(is_zero ? 0.0F : vulkan::test::number(5000, row, col, of.keys - row % 4));
        values.push_back(is_zero ? 0.0F : vulkan::test::number(9000, row, col, of_values));
      }
    }
    if (of.has_infinity) values[static_cast<std::size_t>(kInfinitePosition * dim + kInfiniteDim)] = INFINITY;
  }
};

/// The largest error of a result, as a share of the largest value that its token sees. Results of tokens that see the infinity must not
/// be finite; those of earlier tokens in the same dimension, which give the infinity the weight 0, may be NaN.
double worst_error(const Problem& problem, const std::vector<float>& found) {
  const auto dim = static_cast<std::size_t>(problem.head_dim);
  double worst = 0;
  double largest_value = 0;
  for (std::size_t token = 0; token < kTokens; ++token) {
    for (std::size_t d = 0; d < dim; ++d) {
      const double value = std::abs(double{problem.values[token * dim + d]});
      if (std::isfinite(value)) largest_value = std::max(largest_value, value);
    }
    for (std::size_t head = 0; head < kHeads; ++head) {
      const float* const q = problem.q.data() + (token * kHeads + head) * dim;
      std::vector<double> weights;
      for (std::size_t at = 0; at <= token; ++at) {
        double product = 0;
        for (std::size_t d = 0; d < dim; ++d) product += double{q[d]} * double{problem.keys[at * dim + d]};
        weights.push_back(double{problem.scale} * product);
      }
      const double largest = *std::ranges::max_element(weights);
      double total = 0;
      for (double& weight : weights) total += weight = std::exp(weight - largest);
      for (std::size_t d = 0; d < dim; ++d) {
        double sum = 0;
        for (std::size_t at = 0; at <= token; ++at) sum += weights[at] * double{problem.values[at * dim + d]};
        const double is = found[(token * kHeads + head) * dim + d];
        if (!std::isfinite(sum)) {
          CHECK_FALSE(std::isfinite(is));
          continue;
        }
        if (problem.has_infinity && d == kInfiniteDim) continue;
        const double error = std::abs(is - sum / total);
        if (!(error <= worst * largest_value)) worst = largest_value > 0 ? error / largest_value : INFINITY;
      }
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("attention keeps its precision whatever the magnitudes", "[attention]") {
  auto device = vulkan::test::opened_device();
  if (!device) return;
  const auto memory = std::move(DeviceMemory::create(std::move(device))).value();
  const auto upload = [&](const auto& values) {
    DeviceBuffer buffer =
        std::move(memory->allocate(MemoryPurpose::kWorkspace, values.size() * sizeof(values[0]))).value();
    REQUIRE_OK(memory->upload(buffer.data(), values.data(), buffer.size_bytes()));
    return buffer;
  };
  std::vector<std::int32_t> positions(kTokens);
  for (std::int32_t i = 0; i < kTokens; ++i) positions[static_cast<std::size_t>(i)] = i;
  std::vector<QueryTile> tiles;
  for (std::int32_t first = 0; first < kTokens; first += kQueryTileTokens) {
    tiles.push_back({.first_token = first, .n_tokens = std::min(kQueryTileTokens, kTokens - first), .seq = 0});
  }
  const auto n_tiles = static_cast<std::int32_t>(tiles.size());
  const DeviceBuffer position_buffer = upload(positions);
  const DeviceBuffer tile_buffer = upload(tiles);
  const DeviceBuffer n_tiles_buffer = upload(std::vector{n_tiles});
  const DeviceBuffer table_buffer = upload(std::vector{0});  // one page that holds every position

  const auto magnitudes =
      GENERATE(Magnitudes{.name = "ordinary"}, Magnitudes{.name = "large queries", .queries = 60, .keys = -60},
               Magnitudes{.name = "large keys", .queries = -60, .keys = 60},
               Magnitudes{.name = "rising values", .first_values = -50, .step_of_values = 25},
               Magnitudes{.name = "falling values", .first_values = 50, .step_of_values = -3},
               Magnitudes{.name = "zeros first", .first_values = -40, .step_of_values = 1, .has_zero_tile = true},
               Magnitudes{.name = "an infinity", .has_infinity = true});
  const std::int32_t head_dim = GENERATE(64, 80, 256);
  CAPTURE(magnitudes.name, head_dim);
  const Problem problem(magnitudes, head_dim);
  const auto narrow = [](const std::vector<float>& values) {
    std::vector<Bf16> narrowed;
    for (const float value : values) narrowed.push_back(to_bf16(value));
    return narrowed;
  };
  const DeviceBuffer q = upload(problem.q);
  const DeviceBuffer keys = upload(narrow(problem.keys));
  const DeviceBuffer values = upload(narrow(problem.values));
  const AttentionArguments arguments{.batch = {.n_query_tiles = n_tiles_buffer.as<std::int32_t>(),
                                               .positions = position_buffer.as<std::int32_t>(),
                                               .block_table = table_buffer.as<std::int32_t>(),
                                               .query_tiles = tile_buffer.as<QueryTile>(),
                                               .max_pages_per_seq = 1},
                                     .q = q.as<float>(),
                                     .out = q.as<float>(),
                                     .kv = {.keys = keys.as<Bf16>(),
                                            .values = values.as<Bf16>(),
                                            .n_kv_heads = 1,
                                            .page_tokens = kTokens,
                                            .head_dim = head_dim},
                                     .sinks = nullptr,
                                     .partial = nullptr,
                                     .partial_softmax = nullptr,
                                     .n_arrived = nullptr,
                                     .scale = problem.scale,
                                     .softcap = 0,
                                     .window = 0,
                                     .n_heads = kHeads,
                                     .value_dim = head_dim,
                                     .max_query_tiles = n_tiles,
                                     .max_decode_splits = 0,
                                     .prefill = PrefillBy::kWarps};
  const LaunchContext context{memory->stream(), memory->device().properties().warp_size};
  REQUIRE_OK(vulkan::kernel_table().attention(context, arguments));
  std::vector<float> found(problem.q.size());
  REQUIRE_OK(memory->download(found.data(), q.data(), q.size_bytes()));
  // Matrices multiply in FP16, which rounds a query to 11 bits: a score whose terms' magnitudes add up to 16 is wrong by at most
  // 16 * 2^-12 = 1/256, and the weight of its position by about the same share. The weights and their sum are rounded as well.
  const double bound = memory->device().properties().has_f16_tiles ? 1.0 / 128 : 1e-5;
  CHECK(worst_error(problem, found) < bound);
}
