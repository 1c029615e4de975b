#include "onednn/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "backend/check_graph.h"
#include "backend/op_visit.h"
#include "backend_kit/weight_rows.h"
#include "core/half.h"
#include "onednn/row_kernels.h"

namespace secondsource::onednn {
namespace {

using dnnl::memory;

/// The transferred bytes of rows [first, first + n).
WeightRows raw_rows(const Weight& weight, std::int64_t first_row, std::int64_t n_rows) {
  const std::size_t row_bytes =
      static_cast<std::size_t>(weight.spec.n_cols) * transfer_bytes_per_value(weight.spec.encoding);
  const auto row_scales = static_cast<std::size_t>(scales_per_row(weight.spec.encoding, weight.spec.n_cols));
  const auto first = static_cast<std::size_t>(first_row);
  const auto n = static_cast<std::size_t>(n_rows);
  return {.first_row = first_row,
          .n_rows = n_rows,
          .values = weight.rows.as<const std::byte>().subspan(first * row_bytes, n * row_bytes),
          .scales = std::span<const float>(weight.scales).subspan(first * row_scales, n * row_scales)};
}

/// Whether the product reads the transferred values as they are.
bool is_stored_as_multiplied(const Weight& weight) {
  return weight.product == ProductType::kInt8 || weight.product == ProductType::kBf16ByInt8 ||
         (weight.product == ProductType::kF32 && weight.spec.encoding == WeightEncoding::kF32) ||
         (weight.product == ProductType::kBf16 && weight.spec.encoding == WeightEncoding::kBf16);
}

/// Whether there is a single packed copy that holds every value unchanged.
bool keeps_values(const Weight& weight) {
  const bool is_exact = weight.product == ProductType::kF32 ||
                        (weight.product == ProductType::kBf16 && weight.spec.encoding == WeightEncoding::kBf16);
  return is_exact && weight.parts.size() == 1;
}

struct Use {
  bool embedded = false;
  bool multiplied = false;
  ActQuant act = ActQuant::kNone;
};

}  // namespace

Result<WeightId> Weights::prepare(const WeightSpec& spec) {
  SS_TRY_VOID(check_weight_spec(spec));
  Weight weight;
  weight.spec = spec;
  weight.spec.parts.clear();
  const std::size_t row_bytes = static_cast<std::size_t>(spec.n_cols) * transfer_bytes_per_value(spec.encoding);
  if (spec.n_rows == 1) {
    weight.vector.resize(static_cast<std::size_t>(spec.n_cols));
  }
  auto buffer =
      HostBuffer::allocate(account_, MemoryPurpose::kWeights, row_bytes * static_cast<std::size_t>(spec.n_rows));
  if (!buffer) return buffer.error().with_context("weight " + spec.name);
  weight.rows = std::move(buffer).value();
  SS_TRY_VOID(pull_weight_rows(spec, [&](const WeightRows& rows) -> Result<void> {
    std::memcpy(weight.rows.data() + static_cast<std::size_t>(rows.first_row) * row_bytes, rows.values.data(),
                rows.values.size());
    weight.scales.insert(weight.scales.end(), rows.scales.begin(), rows.scales.end());
    if (!weight.vector.empty()) decode_weight_rows(spec.encoding, spec.n_cols, rows, weight.vector);
    return {};
  }));
  specs_.push_back(weight.spec);
  weights_.push_back(std::move(weight));
  return WeightId{static_cast<std::int32_t>(weights_.size()) - 1};
}

Result<void> Weights::resolve(const StepGraph& graph) {
  std::vector<Use> uses(weights_.size());
  for (const Op& op : graph.ops) {
    SS_TRY_VOID(visit_op(
        op,
        [&](const Embed& embed) -> Result<void> {
          uses[static_cast<std::size_t>(index_of(embed.table))].embedded = true;
          return {};
        },
        [&](const Matmul& matmul) -> Result<void> {
          Use& use = uses[static_cast<std::size_t>(index_of(matmul.weight))];
          if (use.multiplied && use.act != matmul.act) {
            return Error{ErrorCode::kUnsupported, "a weight is used with and without quantized activations"};
          }
          use.multiplied = true;
          use.act = matmul.act;
          return {};
        },
        [](const OneOf<RmsNorm, RopeAppend, LatentAppend, HeadMatmul, Attention, SelectRows, SelectColumns, Sample,
                       Route, GroupedMatmul> auto&) -> Result<void> { return {}; }));
  }
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    Weight& weight = weights_[i];
    weight.is_embedded = weight.is_embedded || uses[i].embedded;
    const bool packs_now = uses[i].multiplied && !weight.is_packed;
    if (packs_now) SS_TRY_VOID(pack(weight, uses[i].act));
    if (uses[i].multiplied && (weight.product == ProductType::kInt8) != has_int8_values(uses[i].act)) {
      return Error{ErrorCode::kUnsupported,
                   fmt::format("weight {}: packed for another kind of product by an earlier step", weight.spec.name)};
    }
    if (weight.is_embedded && weight.is_packed && !weight.packed_rows && keeps_values(weight)) {
      weight.packed_rows = PackedRows::of(weight.parts.front().layout);
    }
    if (packs_now && (!weight.is_embedded || weight.packed_rows)) weight.rows = HostBuffer();
    if (packs_now && weight.rows.size_bytes() > 0) weight.note = ", rows kept for the embedding too";
    if (uses[i].embedded && weight.rows.size_bytes() == 0 && !weight.packed_rows) {
      return Error{
          ErrorCode::kUnsupported,
          fmt::format("weight {}: packed for products by an earlier step, its rows are gone", weight.spec.name)};
    }
  }
  return {};
}

Result<void> Weights::pack(Weight& weight, ActQuant act) {
  const WeightEncoding encoding = weight.spec.encoding;
  if (has_int8_values(act)) {
    weight.product = ProductType::kInt8;
  } else if (encoding == WeightEncoding::kF32 || !fast_bf16_) {
    weight.product = ProductType::kF32;
    if (encoding != WeightEncoding::kF32)
      weight.fallback = "this CPU has no BF16 instructions: weights are kept in f32";
  } else if (encoding == WeightEncoding::kInt8PerRow && widens_int8_) {
    weight.product = ProductType::kBf16ByInt8;
  } else {
    weight.product = ProductType::kBf16;
    if (encoding != WeightEncoding::kBf16) {
      weight.fallback = fmt::format("oneDNN has no product of BF16 rows with {} weights here: they are kept in BF16",
                                    to_string(encoding));
    }
  }
  const bool in_halves = weight.spec.join == Join::kInterleaveGateUp;
  const std::int64_t part_rows = in_halves ? weight.spec.n_rows / 2 : weight.spec.n_rows;
  for (std::int64_t first = 0; first < weight.spec.n_rows; first += part_rows) {
    SS_TRY_VOID(pack_part(weight, first, part_rows));
  }
  weight.is_packed = true;
  return {};
}

Result<void> Weights::pack_part(Weight& weight, std::int64_t first_row, std::int64_t n_rows) {
  // Row n holds the inputs of output n, so as [K, N] the matrix is column-major: "ba".
  const memory::desc plain({weight.spec.n_cols, n_rows}, weight_type(weight.product), memory::format_tag::ba);
  const std::size_t row_bytes = static_cast<std::size_t>(weight.spec.n_cols) * size_of(weight_type(weight.product));
  HostBuffer converted;
  std::byte* stored = weight.rows.data() + static_cast<std::size_t>(first_row) * row_bytes;
  if (!is_stored_as_multiplied(weight)) {
    SS_TRY(converted, HostBuffer::allocate(account_, MemoryPurpose::kWeights, plain.get_size()));
    convert_rows(weight, first_row, n_rows, converted.data());
    stored = converted.data();
  }
  auto packed = guarded("packing a weight", [&]() -> Result<void> {
    PackedMatrix part;
    part.layout = products_.weights_layout(weight.product, weight.spec.n_cols, n_rows);
    SS_TRY(part.buffer,
           HostBuffer::allocate(account_, MemoryPurpose::kWeights, part.layout.get_size(), HugePages::kAdvise));
    part.memory = memory(part.layout, engine_, part.buffer.data());
    memory from(plain, engine_, stored);
    dnnl::reorder(from, part.memory).execute(stream_, from, part.memory);
    stream_.wait();
    weight.parts.push_back(std::move(part));
    return {};
  });
  if (!packed) return packed.error().with_context("weight " + weight.spec.name);
  return {};
}

void Weights::convert_rows(const Weight& weight, std::int64_t first_row, std::int64_t n_rows, std::byte* out) const {
  const auto n_cols = static_cast<std::size_t>(weight.spec.n_cols);
  std::vector<float> row(n_cols);
  for (std::int64_t r = 0; r < n_rows; ++r) {
    decode_weight_rows(weight.spec.encoding, weight.spec.n_cols, raw_rows(weight, first_row + r, 1), row);
    std::byte* const to = out + static_cast<std::size_t>(r) * n_cols * size_of(weight_type(weight.product));
    if (weight.product == ProductType::kF32) {
      std::memcpy(to, row.data(), n_cols * sizeof(float));
    } else {
      round_row(row, reinterpret_cast<Bf16*>(to));
    }
  }
}

void Weights::embed_row(WeightId id, std::int64_t row, float scale, std::span<float> out) const {
  const Weight& weight = at(id);
  if (weight.rows.size_bytes() > 0) {
    decode_weight_rows(weight.spec.encoding, weight.spec.n_cols, raw_rows(weight, row, 1), out);
    if (scale != 1.0F) scale_row(out, scale);
    return;
  }
  const HostBuffer& packed = weight.parts.front().buffer;
  if (weight.product == ProductType::kF32) {
    weight.packed_rows->read(packed.as<float>().data(), row, scale, out);
  } else {
    weight.packed_rows->read(packed.as<Bf16>().data(), row, scale, out);
  }
}

Result<std::vector<float>> Weights::unprepare(WeightId id) const {
  if (index_of(id) < 0 || static_cast<std::size_t>(index_of(id)) >= weights_.size()) {
    return Error{ErrorCode::kInvalidInput, fmt::format("no weight {}", index_of(id))};
  }
  const Weight& weight = at(id);
  std::vector<float> out(static_cast<std::size_t>(weight.spec.n_rows * weight.spec.n_cols));
  if (weight.rows.size_bytes() > 0) {
    decode_weight_rows(weight.spec.encoding, weight.spec.n_cols, raw_rows(weight, 0, weight.spec.n_rows), out);
    return out;
  }
  std::size_t at_value = 0;
  for (const PackedMatrix& part : weight.parts) {
    const memory::dims dims = dims_of(part.layout);
    const memory::desc plain(dims, weight_type(weight.product), memory::format_tag::ba);
    std::vector<std::byte> bytes(plain.get_size());
    SS_TRY_VOID(guarded("unpacking a weight", [&]() -> Result<void> {
      memory from = part.memory;
      memory to(plain, engine_, bytes.data());
      dnnl::reorder(from, to).execute(stream_, from, to);
      stream_.wait();
      return {};
    }));
    const auto n_values = static_cast<std::size_t>(dims[0] * dims[1]);
    for (std::size_t i = 0; i < n_values; ++i) {
      const std::size_t row = at_value / static_cast<std::size_t>(weight.spec.n_cols);
      float value = 0.0F;
      if (weight.product == ProductType::kF32) std::memcpy(&value, bytes.data() + i * 4, 4);
      if (weight.product == ProductType::kBf16) {
        Bf16 half;
        std::memcpy(&half, bytes.data() + i * 2, 2);
        value = to_float(half);
      }
      if (weight_type(weight.product) == memory::data_type::s8) {
        value = static_cast<float>(static_cast<std::int8_t>(bytes[i])) * weight.scales[row];
      }
      out[at_value++] = value;
    }
  }
  return out;
}

}  // namespace secondsource::onednn
