#pragma once
// Writes weights that a checkpoint stores in another form as model.safetensors: every tensor in the smallest of BF16, FP16
// and FP32 that holds all of its values exactly.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bundle/bundle_writer.h"
#include "bundle/model_tensors.h"
#include "bundle/safetensors_writer.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

using RowUser = std::function<Result<void>(std::span<const float>)>;
/// Calls `use` with the values of each row of a tensor, in order; the tensor is one of those that are converted.
using RowReader = std::function<Result<void>(std::size_t tensor, const RowUser& use)>;

/// The values of all tensors, read twice: to find the types that hold them, and to write them.
class WeightConversion {
 public:
  /// `name` is that of the source in messages. The references must outlive the conversion.
  WeightConversion(std::string name, const std::vector<TensorSpec>& specs, const RowReader& read_rows,
                   Progress& progress, const InterruptFlag& interrupt);

  /// Errors: kInvalidInput for a value that is not finite; kInterrupted; those of the reader.
  Result<std::vector<TensorToWrite>> find_types();
  /// Writes what find_types() returned. Errors: kIo, kInterrupted, those of the reader.
  Result<void> write(const std::vector<TensorToWrite>& tensors, BundleWriter& writer);

 private:
  void begin(std::string_view what);
  Result<void> advance(std::size_t n_values);

  std::string name_;
  const std::vector<TensorSpec>* specs_;
  const RowReader* read_rows_;
  Progress* progress_;
  const InterruptFlag* interrupt_;
  std::int64_t n_values_ = 0;
};

/// The name of the type that takes the most bytes, as torch calls it.
[[nodiscard]] std::string torch_type_of_most(const std::vector<TensorToWrite>& tensors);

}  // namespace secondsource
