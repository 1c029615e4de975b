#include "bundle/weight_conversion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/half.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::size_t kWriteBytes = std::size_t{1} << 20;

/// Which types hold all values seen so far exactly.
struct ExactTypes {
  bool bf16 = true;
  bool f16 = true;
  bool is_finite = true;

  void see(float value) {
    is_finite = is_finite && std::isfinite(value);
    bf16 = bf16 && round_to_bf16(value) == value;
    f16 = f16 && round_to_f16(value) == value;
  }
  [[nodiscard]] DType smallest() const { return bf16 ? DType::kBf16 : f16 ? DType::kF16 : DType::kF32; }
};

template <typename T>
void append_bits(const T& value, std::vector<std::byte>& out) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// The type with which the writer stores scales; E8M0 and E4M3 are written as bytes.
DType dtype_of(ScaleType type) {
  return type == ScaleType::kF32 ? DType::kF32 : type == ScaleType::kF16 ? DType::kF16 : DType::kU8;
}

/// Appends scales; the type holds them exactly.
void append_scales(std::span<const float> scales, ScaleType type, std::vector<std::byte>& out) {
  for (const float scale : scales) {
    switch (type) {
      case ScaleType::kF32:
        append_bits(scale, out);
        break;
      case ScaleType::kF16:
        append_bits(to_f16(scale), out);
        break;
      case ScaleType::kE8m0:
        append_bits(to_e8m0(scale), out);
        break;
      case ScaleType::kE4m3:
        append_bits(to_e4m3(scale), out);
        break;
    }
  }
}

/// Appends the row in a type that holds every value exactly.
void append_values(std::span<const float> row, DType dtype, std::vector<std::byte>& out) {
  for (const float value : row) {
    if (dtype == DType::kBf16) {
      append_bits(to_bf16(value), out);
    } else if (dtype == DType::kF16) {
      append_bits(to_f16(value), out);
    } else {
      append_bits(value, out);
    }
  }
}

}  // namespace

PublishedTypes types_of(const PublishedSource& source, const std::vector<TensorSpec>& specs) {
  PublishedTypes types;
  if (source.variant.empty()) return types;
  types.variant = source.variant;
  types.encodings.emplace();
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (const auto form = source.form_of(i)) types.encodings->emplace(specs[i].name, form->encoding);
    if (!source.columns_of(i).empty()) types.ordered.insert(specs[i].name);
  }
  return types;
}

WeightConversion::WeightConversion(std::string name, const std::vector<TensorSpec>& specs, const RowReader& read_rows,
                                   PublishedSource published, Progress& progress, const InterruptFlag& interrupt)
    : name_(std::move(name)),
      specs_(&specs),
      read_rows_(&read_rows),
      published_(std::move(published)),
      progress_(&progress),
      interrupt_(&interrupt) {}

Result<std::vector<TensorToWrite>> WeightConversion::find_types() {
  begin("reading the weights (MiB of FP32)");
  std::vector<TensorToWrite> tensors;
  for (std::size_t i = 0; i < specs_->size(); ++i) {
    const TensorSpec& spec = (*specs_)[i];
    ExactTypes exact;
    std::int64_t n_rows = 0;
    SS_TRY_VOID((*read_rows_)(i, [&](std::span<const float> row) -> Result<void> {
      for (const float value : row) exact.see(value);
      if (!exact.is_finite) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("{}: tensor {}: row {}: expected finite values, found others", name_,
                                 printable(spec.name), n_rows)};
      }
      ++n_rows;
      return advance(row.size());
    }));
    tensors.push_back({spec.name, published_.form_of(i) ? DType::kI8 : exact.smallest(), spec.shape});
  }
  return tensors;
}

Result<void> WeightConversion::write(const std::vector<TensorToWrite>& tensors, BundleWriter& writer) {
  constexpr std::string_view kWeightFile = "model.safetensors";
  SS_TRY(const std::filesystem::path path, writer.place_for(std::string(kWeightFile)));
  std::vector<TensorToWrite> header;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto form = published_.form_of(i);
    if (!form) {
      header.push_back(tensors[i]);
      continue;
    }
    const bool is_whole = has_blocks(form->encoding);
    const DType of_codes = has_four_bit_codes(form->encoding) || is_whole ? DType::kU8 : DType::kI8;
    const std::string name = tensors[i].name + std::string(form->is_transposed ? kTransposedEnding : "");
    header.push_back({name + ending_of_codes(form->encoding), of_codes, stored_shape_of_codes(*form, tensors[i].shape),
                      stored_type_of_codes(form->encoding)});
    if (is_whole) continue;
    const ScaleType of_scales = type_of_scales(form->encoding);
    header.push_back({name + std::string(kScalesEnding), dtype_of(of_scales),
                      stored_shape_of_scales(*form, tensors[i].shape), of_scales == ScaleType::kE4m3 ? "F8_E4M3" : ""});
    if (form->has_zero_points()) {
      header.push_back({name + std::string(kZerosEnding), DType::kI8, stored_shape_of_scales(*form, tensors[i].shape)});
    }
    if (has_global_scale(form->encoding)) {
      header.push_back({name + std::string(kGlobalScaleEnding), DType::kF32, {1}});
    }
    if (!published_.input_scales.empty()) header.push_back({name + std::string(kInputScaleEnding), DType::kF32, {1}});
    const std::span<const std::int32_t> columns = published_.columns_of(i);
    if (columns.empty()) continue;
    header.push_back({name + std::string(kColumnsEnding), DType::kI32, {std::ssize(columns)}});
  }
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (!published_.variant.empty()) metadata = {{std::string(kPublishedKey), published_.variant}};
  SS_TRY(SafetensorsWriter weights, SafetensorsWriter::create(path, header, metadata));
  begin("writing the weights (MiB of FP32)");
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (const auto form = published_.form_of(i)) {
      SS_TRY_VOID(weights.write(bytes));
      bytes.clear();
      SS_TRY_VOID(write_codes(i, *form, weights));
      continue;
    }
    SS_TRY_VOID((*read_rows_)(i, [&](std::span<const float> row) -> Result<void> {
      append_values(row, tensors[i].dtype, bytes);
      if (bytes.size() >= kWriteBytes) {
        SS_TRY_VOID(weights.write(bytes));
        bytes.clear();
      }
      return advance(row.size());
    }));
  }
  SS_TRY_VOID(weights.write(bytes));
  SS_TRY(const WrittenFile written, weights.finish());
  writer.add_written(std::string(kWeightFile), written);
  return {};
}

Result<void> WeightConversion::write_codes(std::size_t tensor, const PublishedForm& form, SafetensorsWriter& weights) {
  std::vector<std::byte> codes;
  std::vector<std::byte>
      scales;  // they follow all codes, then come zero points, the global scale, that of inputs, and the order of columns
  std::vector<std::byte> zeros;
  std::int64_t n_rows = 0;
  const Shape rows = shape_of_rows(form, (*specs_)[tensor].shape);
  const auto n_values = static_cast<std::size_t>(rows.extent(rows.rank() - 1));  // of each row
  const auto append_bytes = [](std::span<const std::int8_t> values, std::vector<std::byte>& to) {
    const auto bytes = std::as_bytes(values);
    to.insert(to.end(), bytes.begin(), bytes.end());
  };
  SS_TRY_VOID(published_.read_rows(tensor, [&](const PublishedRow& row) -> Result<void> {
    if (has_four_bit_codes(form.encoding)) {
      for (std::size_t i = 0; i + 1 < row.codes.size(); i += 2) {
        const auto low = static_cast<unsigned>(row.codes[i]) & 0xfU;
        codes.push_back(static_cast<std::byte>(low | (static_cast<unsigned>(row.codes[i + 1]) & 0xfU) << 4U));
      }
    } else {
      append_bytes(row.codes, codes);
    }
    if (n_rows++ % form.rows_of_scale() == 0) append_scales(row.scales, type_of_scales(form.encoding), scales);
    append_bytes(row.zeros, zeros);
    if (codes.size() >= kWriteBytes) {
      SS_TRY_VOID(weights.write(codes));
      codes.clear();
    }
    return advance(n_values);
  }));
  SS_TRY_VOID(weights.write(codes));
  SS_TRY_VOID(weights.write(scales));
  SS_TRY_VOID(weights.write(zeros));
  if (has_global_scale(form.encoding)) {
    SS_TRY_VOID(weights.write(std::as_bytes(std::span(published_.global_scales).subspan(tensor, 1))));
  }
  if (!published_.input_scales.empty()) {
    SS_TRY_VOID(weights.write(std::as_bytes(std::span(published_.input_scales).subspan(tensor, 1))));
  }
  return weights.write(std::as_bytes(published_.columns_of(tensor)));
}

void WeightConversion::begin(std::string_view what) {
  std::int64_t n_values = 0;
  for (const TensorSpec& spec : *specs_) n_values += spec.shape.n_elements().value_or(0);
  n_values_ = 0;
  progress_->begin(what, n_values * 4 >> 20);
}

Result<void> WeightConversion::advance(std::size_t n_values) {
  n_values_ += static_cast<std::int64_t>(n_values);
  progress_->update(n_values_ * 4 >> 20);
  return interrupt_->check();
}

std::string torch_type_of_most(const std::vector<TensorToWrite>& tensors) {
  std::map<DType, std::int64_t> bytes;
  for (const TensorToWrite& tensor : tensors) {
    if (tensor.dtype == DType::kI8) continue;
    bytes[tensor.dtype] += tensor.shape.n_elements().value_or(0) * static_cast<std::int64_t>(size_of(tensor.dtype));
  }
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  return most->first == DType::kBf16 ? "bfloat16" : most->first == DType::kF16 ? "float16" : "float32";
}

}  // namespace secondsource
