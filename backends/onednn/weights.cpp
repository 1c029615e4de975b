#include "onednn/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "backend/check_graph.h"
#include "backend/op_access.h"
#include "backend/weight_rows.h"
#include "core/half.h"
#include "onednn/row_kernels.h"

namespace secondsource::onednn {
namespace {

using dnnl::memory;

/// Row count that the packed layout is chosen for: oneDNN blocks by K and N, and the large products gain the most.
constexpr memory::dim kLayoutRows = 256;

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

struct Use {
  bool embedded = false;
  bool multiplied = false;
  ActQuant act = ActQuant::kNone;
};

}  // namespace

memory::data_type dnnl_type(ProductType type) {
  switch (type) {
    case ProductType::kF32:
      return memory::data_type::f32;
    case ProductType::kBf16:
      return memory::data_type::bf16;
    case ProductType::kInt8:
      return memory::data_type::s8;
  }
  return memory::data_type::undef;
}

std::size_t size_of(ProductType type) {
  return type == ProductType::kF32 ? 4 : type == ProductType::kBf16 ? 2 : 1;
}

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
    if (const auto* const embed = std::get_if<Embed>(&op)) {
      uses[static_cast<std::size_t>(index_of(embed->table))].embedded = true;
    }
    if (const auto* const matmul = std::get_if<Matmul>(&op)) {
      Use& use = uses[static_cast<std::size_t>(index_of(matmul->weight))];
      if (use.multiplied && use.act != matmul->act) {
        return Error{ErrorCode::kUnsupported, "a weight is used with and without quantized activations"};
      }
      use.multiplied = true;
      use.act = matmul->act;
    }
  }
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    Weight& weight = weights_[i];
    if (uses[i].multiplied && !weight.is_packed) SS_TRY_VOID(pack(weight, uses[i].act, uses[i].embedded));
    if (uses[i].multiplied && (weight.product == ProductType::kInt8) != (uses[i].act == ActQuant::kInt8PerRow)) {
      return Error{ErrorCode::kUnsupported,
                   fmt::format("weight {}: packed for another kind of product by an earlier step", weight.spec.name)};
    }
    if (uses[i].embedded && weight.rows.size_bytes() == 0) {
      return Error{
          ErrorCode::kUnsupported,
          fmt::format("weight {}: packed for products by an earlier step, its rows are gone", weight.spec.name)};
    }
  }
  return {};
}

Result<void> Weights::pack(Weight& weight, ActQuant act, bool keep_rows) {
  const WeightEncoding encoding = weight.spec.encoding;
  if (act == ActQuant::kInt8PerRow) {
    weight.product = ProductType::kInt8;
  } else if (encoding == WeightEncoding::kF32 || !fast_bf16_) {
    weight.product = ProductType::kF32;
    if (encoding != WeightEncoding::kF32)
      weight.fallback = "this CPU has no BF16 instructions: weights are kept in f32";
  } else {
    weight.product = ProductType::kBf16;
    if (encoding != WeightEncoding::kBf16) {
      weight.fallback = fmt::format("oneDNN has no product of BF16 rows with {} weights here: they are kept in BF16",
                                    to_string(encoding));
    }
  }
  // The stored rows can be multiplied as they are, so that a table that is embedded and multiplied is there once.
  // Nearly as fast at many rows, slower at one.
  const bool borrow = keep_rows && ((weight.product == ProductType::kBf16 && encoding == WeightEncoding::kBf16) ||
                                    (weight.product == ProductType::kF32 && encoding == WeightEncoding::kF32));
  if (borrow) weight.note = ", plain layout shared with the embedding";
  if (keep_rows && !borrow) weight.note = ", rows kept for the embedding too";
  const bool in_halves = weight.spec.join == Join::kInterleaveGateUp && weight.product != ProductType::kInt8;
  const std::int64_t part_rows = in_halves ? weight.spec.n_rows / 2 : weight.spec.n_rows;
  for (std::int64_t first = 0; first < weight.spec.n_rows; first += part_rows) {
    SS_TRY_VOID(pack_part(weight, first, part_rows, borrow));
  }
  weight.is_packed = true;
  if (!keep_rows) weight.rows = HostBuffer();
  return {};
}

Result<void> Weights::pack_part(Weight& weight, std::int64_t first_row, std::int64_t n_rows, bool borrow) {
  const memory::data_type type = dnnl_type(weight.product);
  const memory::dims dims = {weight.spec.n_cols, n_rows};
  // Row n holds the inputs of output n, so as [K, N] the matrix is column-major: "ba".
  const memory::desc plain(dims, type, memory::format_tag::ba);
  const std::size_t plain_bytes = static_cast<std::size_t>(weight.spec.n_cols * n_rows) * size_of(weight.product);
  PackedMatrix part;
  if (borrow) {
    part.layout = plain;
    part.memory = memory(
        plain, engine_,
        weight.rows.data() + static_cast<std::size_t>(first_row) * plain_bytes / static_cast<std::size_t>(n_rows));
    weight.parts.push_back(std::move(part));
    return {};
  }
  SS_TRY(HostBuffer converted, HostBuffer::allocate(account_, MemoryPurpose::kWeights, plain_bytes));
  convert_rows(weight, first_row, n_rows, converted.data());
  auto packed = guarded("packing a weight", [&]() -> Result<void> {
    const memory::desc any(dims, type, memory::format_tag::any);
    const memory::desc src({kLayoutRows, weight.spec.n_cols}, type, memory::format_tag::ab);
    const memory::desc dst({kLayoutRows, n_rows}, memory::data_type::f32, memory::format_tag::ab);
    part.layout = make_matmul_desc(engine_, src, any, {}, dst, {}).weights_desc();
    SS_TRY(part.buffer,
           HostBuffer::allocate(account_, MemoryPurpose::kWeights, part.layout.get_size(), HugePages::kAdvise));
    part.memory = memory(part.layout, engine_, part.buffer.data());
    memory from(plain, engine_, converted.data());
    dnnl::reorder(from, part.memory).execute(stream_, from, part.memory);
    stream_.wait();
    return {};
  });
  if (!packed) return packed.error().with_context("weight " + weight.spec.name);
  weight.parts.push_back(std::move(part));
  return {};
}

void Weights::convert_rows(const Weight& weight, std::int64_t first_row, std::int64_t n_rows, std::byte* out) const {
  if (weight.product == ProductType::kInt8) {
    const WeightRows rows = raw_rows(weight, first_row, n_rows);
    std::memcpy(out, rows.values.data(), rows.values.size());
    return;
  }
  const auto n_cols = static_cast<std::size_t>(weight.spec.n_cols);
  std::vector<float> row(n_cols);
  for (std::int64_t r = 0; r < n_rows; ++r) {
    decode_weight_rows(weight.spec.encoding, weight.spec.n_cols, raw_rows(weight, first_row + r, 1), row);
    std::byte* const to = out + static_cast<std::size_t>(r) * n_cols * size_of(weight.product);
    if (weight.product == ProductType::kF32) {
      std::memcpy(to, row.data(), n_cols * sizeof(float));
    } else {
      round_row(row, reinterpret_cast<Bf16*>(to));
    }
  }
}

void Weights::embed_row(WeightId id, std::int64_t row, float scale, std::span<float> out) const {
  const Weight& weight = at(id);
  decode_weight_rows(weight.spec.encoding, weight.spec.n_cols, raw_rows(weight, row, 1), out);
  if (scale != 1.0F) scale_row(out, scale);
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
    const memory::desc plain(dims, dnnl_type(weight.product), memory::format_tag::ba);
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
      if (weight.product == ProductType::kInt8) {
        value = static_cast<float>(static_cast<std::int8_t>(bytes[i])) * weight.scales[row];
      }
      out[at_value++] = value;
    }
  }
  return out;
}

}  // namespace secondsource::onednn
