#include "bundle/weight_conversion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/half.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::size_t kWriteBytes = std::size_t{1} << 20;

/// Which of the types hold all values seen so far.
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

/// Appends the row in the type, which holds every value.
void append_values(std::span<const float> row, DType dtype, std::vector<std::byte>& out) {
  const auto append = [&](const auto& value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    out.insert(out.end(), bytes.begin(), bytes.end());
  };
  for (const float value : row) {
    if (dtype == DType::kBf16) {
      append(to_bf16(value));
    } else if (dtype == DType::kF16) {
      append(to_f16(value));
    } else {
      append(value);
    }
  }
}

}  // namespace

WeightConversion::WeightConversion(std::string name, const std::vector<TensorSpec>& specs, const RowReader& read_rows,
                                   Progress& progress, const InterruptFlag& interrupt)
    : name_(std::move(name)), specs_(&specs), read_rows_(&read_rows), progress_(&progress), interrupt_(&interrupt) {}

Result<std::vector<TensorToWrite>> WeightConversion::find_types() {
  begin("reading the weights (MiB of FP32)");
  std::vector<TensorToWrite> tensors;
  for (std::size_t i = 0; i < specs_->size(); ++i) {
    const TensorSpec& spec = (*specs_)[i];
    ExactTypes exact;
    SS_TRY_VOID((*read_rows_)(i, [&](std::span<const float> row) -> Result<void> {
      for (const float value : row) exact.see(value);
      return advance(row.size());
    }));
    if (!exact.is_finite) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: tensor {}: expected finite values, found others", name_, printable(spec.name))};
    }
    tensors.push_back({spec.name, exact.smallest(), spec.shape});
  }
  return tensors;
}

Result<void> WeightConversion::write(const std::vector<TensorToWrite>& tensors, BundleWriter& writer) {
  constexpr std::string_view kWeightFile = "model.safetensors";
  SS_TRY(const std::filesystem::path path, writer.place_for(std::string(kWeightFile)));
  SS_TRY(SafetensorsWriter weights, SafetensorsWriter::create(path, tensors, {{"format", "pt"}}));
  begin("writing the weights (MiB of FP32)");
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
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
    bytes[tensor.dtype] += tensor.shape.n_elements().value_or(0) * static_cast<std::int64_t>(size_of(tensor.dtype));
  }
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  return most->first == DType::kBf16 ? "bfloat16" : most->first == DType::kF16 ? "float16" : "float32";
}

}  // namespace secondsource
