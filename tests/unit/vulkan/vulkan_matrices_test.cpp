// Tests products by cooperative matrices with FP16 operands: a power of two for each row keeps numbers of any magnitude within FP16's
// range. The expected sums are computed in f64 with plain loops.

#include <cmath>
#include <cstring>
#include <limits>

#include "core/half.h"
#include "gpu/host/weights.h"
#include "gpu/kernels/matmul_plan.h"
#include "unit/vulkan/numbers.h"
#include "unit/vulkan/opened_device.h"
#include "vulkan/launchers.h"

using namespace secondsource;
using namespace secondsource::gpu;

namespace {

constexpr std::int32_t kInputs = 20;
constexpr std::int32_t kOutputs = 70;  // more than a tile has
constexpr std::int32_t kCols = 96;

float weight_at(std::int32_t row, std::int32_t col) {
  return vulkan::test::number(1, row, col, 9 * (row % 15) - 75);  // 2^-75 to 2^51
}
float input_at(std::int32_t row, std::int32_t col) {
  return vulkan::test::number(1000, row, col, 50 - 5 * row);  // 2^-45 to 2^50
}

class RowsOfMagnitudes final : public WeightSource {
 public:
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> /*scales*/) const override {
    for (std::int64_t i = 0; i < n_rows * kCols; ++i) {
      const Bf16 value =
          to_bf16(weight_at(static_cast<std::int32_t>(first_row + i / kCols), static_cast<std::int32_t>(i % kCols)));
      std::memcpy(values.data() + static_cast<std::size_t>(i) * sizeof(value), &value, sizeof(value));
    }
    return {};
  }
};

}  // namespace

TEST_CASE("rows of any magnitude keep their precision in products of FP16", "[matrices]") {
  auto device = vulkan::test::opened_device();
  if (!device) return;
  if (!device->properties().has_f16_tiles) {
    std::cout << "skipped: the driver has no matrices\n";
    return;
  }
  const auto memory = std::move(DeviceMemory::create(std::move(device))).value();
  Weights weights(*memory, 1);
  const WeightSpec spec{.name = "weight",
                        .n_rows = kOutputs,
                        .n_cols = kCols,
                        .encoding = WeightEncoding::kBf16,
                        .parts = {{.n_rows = kOutputs, .source = std::make_shared<RowsOfMagnitudes>()}}};
  const auto id = weights.prepare(spec);
  REQUIRE_OK(id);

  std::vector<float> x;
  for (std::int32_t row = 0; row < kInputs; ++row) {
    for (std::int32_t col = 0; col < kCols; ++col) x.push_back(input_at(row, col));
  }
  const auto room = [&](std::size_t bytes) {
    return std::move(memory->allocate(MemoryPurpose::kWorkspace, bytes)).value();
  };
  const DeviceBuffer inputs = room(x.size() * sizeof(float));
  const DeviceBuffer n_rows = room(sizeof(std::int32_t));
  const DeviceBuffer narrow = room(x.size() * sizeof(std::uint16_t));
  const DeviceBuffer powers = room(kInputs * sizeof(float));
  const DeviceBuffer out = room(std::size_t{kInputs} * kOutputs * sizeof(float));
  REQUIRE_OK(memory->upload(inputs.data(), x.data(), inputs.size_bytes()));
  REQUIRE_OK(memory->upload(n_rows.data(), &kInputs, sizeof(kInputs)));
  const LaunchContext context{memory->stream(), memory->device().properties().warp_size};
  const KernelTable& kernels = vulkan::kernel_table();
  REQUIRE_OK(kernels.narrow_rows(context, {.n_tokens = n_rows.as<std::int32_t>(),
                                           .x = inputs.as<float>(),
                                           .out = narrow.as<std::uint16_t>(),
                                           .scales = powers.as<float>(),
                                           .to = NarrowTo::kF16,
                                           .static_scale = 0,
                                           .rows_per_token = 1,
                                           .n_cols = kCols,
                                           .x_stride = kCols,
                                           .padded_cols = kCols,
                                           .by_vecs = make_divisor(kCols / 8),
                                           .max_tokens = kInputs}));
  for (const MatmulTiles tiles : {MatmulTiles::k16x64, MatmulTiles::k64x64, MatmulTiles::k128x128}) {
    CAPTURE(to_string(tiles));
    MatmulArguments product{.n_rows = n_rows.as<std::int32_t>(),
                            .x = nullptr,
                            .narrow_x = narrow.as<Bf16>(),
                            .quantized_x = nullptr,
                            .x_scales = powers.as<float>(),
                            .weight = weights.view(*id),
                            .out = out.as<float>(),
                            .aux = nullptr,
                            .bias = nullptr,
                            .softcap = 0,
                            .epilogue = Epilogue::kNone,
                            .max_rows = kInputs,
                            .plan = plan_of(tiles, {.n_rows = kInputs, .n_outputs = kOutputs, .row_bytes = 2 * kCols}),
                            .partial = nullptr,
                            .narrow_to = NarrowTo::kF16};
    product.plan.n_splits = 1;
    product.plan.split_steps = kCols;  // no fewer than the product has
    REQUIRE_OK(kernels.matmul(context, product));
    std::vector<float> found(std::size_t{kInputs} * kOutputs);
    REQUIRE_OK(memory->download(found.data(), out.data(), out.size_bytes()));
    double worst = 0;
    for (std::int32_t row = 0; row < kInputs; ++row) {
      for (std::int32_t output = 0; output < kOutputs; ++output) {
        double sum = 0;
        double magnitudes = 0;
        for (std::int32_t col = 0; col < kCols; ++col) {
          const double term = double{input_at(row, col)} * double{weight_at(output, col)};
          sum += term;
          magnitudes += std::abs(term);
        }
        const double is = found[static_cast<std::size_t>(row) * kOutputs + static_cast<std::size_t>(output)];
        worst = std::max(worst, std::abs(is - sum) / magnitudes);
      }
    }
    // The operands are exact; 96 additions in f32 round, and a driver may add in another order.
    CHECK(worst < 96 * double{std::numeric_limits<float>::epsilon()});
  }
}
