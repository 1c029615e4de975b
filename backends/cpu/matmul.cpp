// Matmul: packs the activations once, then threads take runs of weight tiles. One packed copy of a weight serves one
// row and many: a chunk of tiles is read from memory once and multiplied with every block of rows while it is in the
// cache.

#include <algorithm>
#include <cmath>

#include "backend/workspace_plan.h"
#include "core/check.h"
#include "core/checked.h"
#include "cpu/kernels.h"

namespace secondsource::cpu {
namespace {

// A chunk is long enough to be a stream for the hardware prefetcher, and short enough that a thread which is held up
// delays the others little.
constexpr std::int64_t kMinChunkBytes = std::int64_t{64} << 10;
constexpr std::int64_t kMaxChunkBytes = std::int64_t{2} << 20;
constexpr std::int64_t kChunksPerThread = 8;
// Sums of a chunk on the stack: 64 tiles of one row, or 12 rows of 2 tiles.
constexpr std::int64_t kMaxRowTiles = 64;
constexpr std::int64_t kPanelTiles = 2;

std::size_t act_bytes(ActType act) {
  switch (act) {
    case ActType::kF32:
      return 4;
    case ActType::kBf16:
    case ActType::kI16:
      return 2;
    case ActType::kU8:
      return 1;
  }
  return 4;
}

std::size_t scales_bytes(std::int64_t n_rows) {
  return ScratchCutter::size_of_piece<float>(static_cast<std::size_t>(n_rows));
}

Finish finish_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kNone:
      return Finish::kNone;
    case Epilogue::kBias:
      return Finish::kBias;
    case Epilogue::kAddResidual:
      return Finish::kAdd;
    case Epilogue::kGatedSilu:
      return Finish::kGatedSilu;
    case Epilogue::kGatedGelu:
      return Finish::kGatedGelu;
  }
  return Finish::kNone;
}

int n_row_blocks(std::int64_t n_rows, int max_rows) {
  return static_cast<int>(ceil_divide<std::int64_t>(n_rows, max_rows));
}

}  // namespace

Product product_of(WeightEncoding encoding, ActQuant act) {
  switch (encoding) {
    case WeightEncoding::kF32:
      return Product::kF32;
    case WeightEncoding::kBf16:
      return Product::kBf16;
    case WeightEncoding::kF16:
      return Product::kF16;
    case WeightEncoding::kInt8PerRow:
      return act == ActQuant::kInt8PerRow ? Product::kInt8Quantized : Product::kInt8;
    case WeightEncoding::kInt4Group32:
      return Product::kInt4;
  }
  return Product::kF32;
}

ScratchNeed CpuKernels::matmul_need(const Matmul& op, const StepGraph& graph, const Bucket& bucket) const {
  const PackedWeight& weight = weights_.at(op.weight);
  const auto n_rows = max_rows(graph.values[static_cast<std::size_t>(index_of(op.x))].rows, bucket);
  const ProductKernel& kernel = table_.products[int(product_of(weight.spec.encoding, op.act))];
  const std::int64_t k = std::max(weight.k_padded, weight.spec.n_cols);
  const auto k_size = static_cast<std::size_t>(k);
  return {.activations = scales_bytes(n_rows) + static_cast<std::size_t>(n_rows) * k_size * act_bytes(kernel.act),
          .per_thread = ScratchCutter::size_of_piece<float>(k_size + kTileRows)};
}

void CpuKernels::pack_activations(const MatrixView<float>& x, const ProductKernel& kernel, std::int64_t k_padded) {
  const auto n_rows = static_cast<int>(x.rows());
  std::byte* const base = scratch_.activations().data();
  const std::size_t row_bytes = static_cast<std::size_t>(k_padded) * act_bytes(kernel.act);
  const auto pack = [&](std::int64_t block, int thread) {
    const int first = row_block_begin(n_rows, kernel.max_rows, static_cast<int>(block));
    const int end = row_block_begin(n_rows, kernel.max_rows, static_cast<int>(block) + 1);
    table_.pack({.x = x.data() + first * x.stride(),
                 .x_stride = x.stride(),
                 .n_rows = end - first,
                 .k = x.cols(),
                 .k_padded = k_padded,
                 .unit = kernel.unit,
                 .act = kernel.act,
                 .out = base + scales_bytes(n_rows) + static_cast<std::size_t>(first) * row_bytes,
                 .row_scales = reinterpret_cast<float*>(base) + first,
                 .scratch = reinterpret_cast<float*>(scratch_.of_thread(thread).data())});
  };
  const int n_blocks = n_row_blocks(n_rows, kernel.max_rows);
  constexpr std::int64_t kSerialValues = 32768;
  if (x.rows() * k_padded <= kSerialValues) {
    for (int block = 0; block < n_blocks; ++block) pack(block, 0);
  } else {
    pool_.run(n_blocks, pack);
  }
}

void CpuKernels::multiply_block(const Matmul& op, const PackedWeight& weight, const ProductKernel& kernel,
                                const HostFrame& frame, std::int64_t first_tile, std::int64_t n_tiles, int block) {
  const MatrixView<float> out = frame.value(op.out);
  const auto n_rows = static_cast<int>(out.rows());
  const int first = row_block_begin(n_rows, kernel.max_rows, block);
  const int block_rows = row_block_begin(n_rows, kernel.max_rows, block + 1) - first;
  const std::byte* const base = scratch_.activations().data();
  const std::size_t row_bytes = static_cast<std::size_t>(weight.k_padded) * act_bytes(kernel.act);
  const bool quantized = op.act == ActQuant::kInt8PerRow;
  alignas(64) float sums[kMaxRowTiles * kTileRows];
  kernel.multiply({.a = base + scales_bytes(n_rows) + static_cast<std::size_t>(first) * row_bytes,
                   .n_rows = block_rows,
                   .tiles = weight.tiles + first_tile * weight.tile_bytes,
                   .tile_bytes = weight.tile_bytes,
                   .n_tiles = n_tiles,
                   .k = weight.k_padded,
                   .c = sums,
                   .c_stride = n_tiles * kTileRows,
                   .row_sums = quantized ? weight.row_sums.data() + first_tile * kTileRows : nullptr});
  const std::int64_t tiles_per_column = weight.is_interleaved() ? 2 : 1;
  const std::int64_t column = first_tile / tiles_per_column * kTileRows;
  FinishArgs finish{.c = sums,
                    .c_stride = n_tiles * kTileRows,
                    .n_rows = block_rows,
                    .n_cols = std::min(n_tiles / tiles_per_column * kTileRows, out.cols() - column),
                    .out = out.data() + first * out.stride() + column,
                    .out_stride = out.stride(),
                    .weight_scales = weight.scales.empty() ? nullptr : weight.scales.data() + first_tile * kTileRows,
                    .row_scales = quantized ? reinterpret_cast<const float*>(base) + first : nullptr,
                    .finish = finish_of(op.epilogue),
                    .softcap = op.softcap};
  if (op.bias) finish.bias = weights_.at(*op.bias).vector.data() + column;
  if (op.aux) {
    const MatrixView<float> aux = frame.value(*op.aux);
    finish.aux = aux.data() + first * aux.stride() + column;
    finish.aux_stride = aux.stride();
  }
  table_.finish(finish);
}

Result<void> CpuKernels::run(const Matmul& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const PackedWeight& weight = weights_.at(op.weight);
  if (x.rows() == 0) return {};
  if (weight.is_vector) {
    run_vector_matmul(op, weight, frame);
    return {};
  }
  const ProductKernel& kernel = table_.products[int(product_of(weight.spec.encoding, op.act))];
  SS_CHECK(weight.k_padded % kernel.k_multiple == 0, "a weight's padding fits its kernel");
  pack_activations(x, kernel, weight.k_padded);
  const int n_blocks = n_row_blocks(x.rows(), kernel.max_rows);
  const std::int64_t n_threads = pool_.n_threads();
  const std::int64_t n_bytes = weight.n_tiles * weight.tile_bytes;
  const std::int64_t chunk_bytes = std::clamp(n_bytes / (n_threads * kChunksPerThread), kMinChunkBytes, kMaxChunkBytes);
  // Many rows make even two tiles a long chunk; one block of rows is bound by memory and wants a stream.
  const std::int64_t wanted_tiles =
      n_blocks == 1 ? round_up(ceil_divide(chunk_bytes, weight.tile_bytes), kPanelTiles) : kPanelTiles;
  const std::int64_t tiles_per_chunk = std::min(wanted_tiles, kMaxRowTiles);
  const std::int64_t n_runs = ceil_divide(weight.n_tiles, tiles_per_chunk);
  // Few tiles and many rows: the rows are shared out too.
  const std::int64_t n_groups =
      std::clamp<std::int64_t>(ceil_divide(4 * n_threads, n_runs), 1, std::max(1, n_blocks / 4));
  pool_.run(n_runs * n_groups, [&](std::int64_t chunk, int) {
    const std::int64_t first_tile = chunk / n_groups * tiles_per_chunk;
    const std::int64_t end_tile = std::min(weight.n_tiles, first_tile + tiles_per_chunk);
    const std::int64_t group = chunk % n_groups;
    const auto first_block = static_cast<int>(group * n_blocks / n_groups);
    const auto end_block = static_cast<int>((group + 1) * n_blocks / n_groups);
    const std::int64_t step = x.rows() == 1 ? tiles_per_chunk : kPanelTiles;
    for (std::int64_t tile = first_tile; tile < end_tile; tile += step) {
      for (int block = first_block; block < end_block; ++block) {
        multiply_block(op, weight, kernel, frame, tile, std::min(step, end_tile - tile), block);
      }
    }
  });
  return {};
}

// A weight of one row is a plain vector (it may be a norm or a bias): dot products in f32.
void CpuKernels::run_vector_matmul(const Matmul& op, const PackedWeight& weight, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const auto k = static_cast<std::size_t>(x.cols());
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    std::span<const float> inputs = x.row(row);
    if (op.act == ActQuant::kInt8PerRow) {
      const std::span<float> rounded = ScratchCutter(scratch_.of_thread(0)).take<float>(k);
      float largest = 0.0F;
      for (const float value : inputs) {
        if (std::fabs(value) > largest || std::isnan(value)) largest = std::fabs(value);
      }
      const float scale = largest / 127.0F;
      for (std::size_t i = 0; i < k; ++i) {
        const float quotient = scale == 0.0F ? 0.0F : std::nearbyint(inputs[i] / scale);
        rounded[i] = scale * std::clamp(quotient, -127.0F, 127.0F);
      }
      inputs = rounded;
    }
    const float sum = table_.dot(inputs.data(), weight.vector.data(), x.cols());
    FinishArgs finish{.c = nullptr, .n_rows = 1, .n_cols = 1, .out = out.row(row).data()};
    alignas(64) float sums[kTileRows] = {sum};
    finish.c = sums;
    finish.finish = finish_of(op.epilogue);
    finish.softcap = op.softcap;
    if (op.bias) finish.bias = weights_.at(*op.bias).vector.data();
    if (op.aux) finish.aux = frame.value(*op.aux).row(row).data();
    table_.finish(finish);
  }
}

}  // namespace secondsource::cpu
