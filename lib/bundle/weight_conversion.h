#pragma once
// Writes weights that a checkpoint stores in another form as model.safetensors: every tensor in the smallest of BF16, FP16
// and FP32 that holds all of its values exactly, or as the codes of the checkpoint (published_weights.h).

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bundle/bundle_writer.h"
#include "bundle/model_tensors.h"
#include "bundle/published_types.h"
#include "bundle/published_weights.h"
#include "bundle/safetensors_writer.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

using RowUser = std::function<Result<void>(std::span<const float>)>;
/// Calls `use` with the values of each row of a tensor, in order. `tensor` is the index of one of the tensors to
/// convert.
using RowReader = std::function<Result<void>(std::size_t tensor, const RowUser& use)>;

/// One row: its codes, one byte each, or its blocks if they are stored whole; its scales and its zero points as they
/// are stored (an empty span if there are no zero points).
struct PublishedRow {
  std::span<const std::int8_t> codes;
  std::span<const float> scales;
  std::span<const std::int8_t> zeros;
};
using CodedRowUser = std::function<Result<void>(const PublishedRow&)>;

/// The part of a checkpoint that is kept as its own codes.
struct PublishedSource {
  std::string variant = {};                              ///< its name; empty: nothing is kept
  std::vector<std::optional<PublishedForm>> forms = {};  ///< of each tensor; nullopt: it is stored by its values
  /// For each tensor, the order of its columns (PublishedWeight::columns). A tensor, or all of them, may have none.
  std::vector<std::vector<std::int32_t>> columns = {};
  /// For each tensor with a form, the scale of inputs (PublishedWeight::input_scale); empty if none is kept.
  std::vector<float> input_scales = {};
  /// For each tensor, its global scale (PublishedWeight::global_scale), which is kept where it is in NVFP4; may be empty if none is.
  std::vector<float> global_scales = {};
  /// Calls `use` with each row of a tensor that has a form, in order.
  std::function<Result<void>(std::size_t tensor, const CodedRowUser& use)> read_rows = {};
  std::string note = {};  ///< a sentence where codes are not kept; else empty

  [[nodiscard]] std::optional<PublishedForm> form_of(std::size_t tensor) const {
    return variant.empty() ? std::nullopt : forms[tensor];
  }
  [[nodiscard]] std::span<const std::int32_t> columns_of(std::size_t tensor) const {
    return columns.empty() ? std::span<const std::int32_t>() : columns[tensor];
  }
};

/// The types of these tensors, as far as their codes are kept.
[[nodiscard]] PublishedTypes types_of(const PublishedSource& source, const std::vector<TensorSpec>& specs);

/// Whether weights whose codes can be kept are stored as codes or by their values.
enum class QuantizedWeights : std::uint8_t { kAsCodes, kAsValues };

/// Converts the values of all tensors. It reads them twice: to find the types that hold them, and to write them.
class WeightConversion {
 public:
  /// `name` is that of the source in messages. The references must outlive the conversion.
  WeightConversion(std::string name, const std::vector<TensorSpec>& specs, const RowReader& read_rows,
                   PublishedSource published, Progress& progress, const InterruptFlag& interrupt);

  /// Returns the tensors with the types of their values; tensors that are kept as codes have the type kI8. Errors:
  /// kInvalidInput for a value that is not finite; kInterrupted; those of the reader.
  Result<std::vector<TensorToWrite>> find_types();
  /// Writes what find_types() returned. Errors: kIo, kInterrupted, those of the reader.
  Result<void> write(const std::vector<TensorToWrite>& tensors, BundleWriter& writer);

 private:
  Result<void> write_codes(std::size_t tensor, const PublishedForm& form, SafetensorsWriter& weights);
  void begin(std::string_view what);
  Result<void> advance(std::size_t n_values);

  std::string name_;
  const std::vector<TensorSpec>* specs_;
  const RowReader* read_rows_;
  PublishedSource published_;
  Progress* progress_;
  const InterruptFlag* interrupt_;
  std::int64_t n_values_ = 0;
};

/// The name, as torch calls it, of the type that takes the most bytes; codes are not counted.
[[nodiscard]] std::string torch_type_of_most(const std::vector<TensorToWrite>& tensors);

}  // namespace secondsource
