#pragma once
// The checkpoints of tests/data/quantized, and bundles that are made of them.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/create.h"
#include "bundle/tensor_store.h"
#include "core/progress.h"
#include "core/result.h"
#include "safetensors_bytes.h"
#include "support/scratch_folder.h"

namespace secondsource::test {

/// The folder that holds one folder per checkpoint.
[[nodiscard]] std::filesystem::path checkpoints();

/// Makes a bundle of a checkpoint's folder.
Result<void> create(const std::filesystem::path& folder, const std::filesystem::path& target, Progress& progress,
                    QuantizedWeights form = QuantizedWeights::kAsCodes);
Result<void> create(const std::filesystem::path& folder, const std::filesystem::path& target);

/// The values of a tensor that is kept as codes, in the order of the stored tensor; experts in MXFP4 are stored by columns.
[[nodiscard]] std::vector<float> values_of_codes(const StoredTensor& tensor);
/// The stored values as little-endian FP32, also those of a tensor that is kept as codes.
[[nodiscard]] std::string bytes_of_values(const StoredTensor& tensor);

/// Collects the notes.
class Notes final : public Progress {
 public:
  void begin(std::string_view, std::int64_t) override {}
  void update(std::int64_t) override {}
  void note(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

/// A copy of one of the checkpoints, which a test may change.
class ChangedCheckpoint {
 public:
  explicit ChangedCheckpoint(const std::string& name);

  HandMadeTensor& tensor(const std::string& name);

  /// Writes the checkpoint to scratch/model, and makes a bundle of it in scratch/out.
  Result<void> create();
  Result<void> create(Progress& progress);
  void expect_refused(ErrorCode code, const std::string& part);

  nlohmann::json config;
  std::vector<HandMadeTensor> tensors;
  ScratchFolder scratch;
};

}  // namespace secondsource::test
